// The form: live counts, samples without a page load, dropping a file, one submit per click.
import { bytes, integer } from "./format.js";

const form = document.querySelector("#start");
const text = form.elements.text;
const file = form.elements.file;
const counts = document.querySelector("#counts");
const COUNTED_CHARACTERS = 2_000_000;

// What is too large never arrives: better to say so while the text is still here.
function tooLarge() {
  if (file.files.length) {
    const { name, size } = file.files[0];
    const most = Number(file.dataset.maxBytes);
    return size > most ? `${name} has ${bytes(size)}: at most ${bytes(most)} are taken.` : "";
  }
  const most = Number(text.dataset.maxBytes);
  if (text.value.length * 3 < most) return "";
  const size = new Blob([text.value]).size;
  return size > most
    ? `The text has ${bytes(size)}: at most ${bytes(most)} fit into the box. Send it as a file.`
    : "";
}

function countText() {
  const refusal = tooLarge();
  counts.classList.toggle("message", refusal !== "");
  if (refusal || file.files.length) {
    const { name, size } = file.files[0] ?? {};
    counts.textContent = refusal || `${name}, ${bytes(size)}. The file is used, not the box above.`;
    return;
  }
  const value = text.value;
  if (!value) {
    counts.textContent = "";
  } else if (value.length > COUNTED_CHARACTERS) {
    counts.textContent = `${integer(value.length)} characters`;
  } else {
    const words = value.toLowerCase().match(/[\p{L}\p{M}\p{N}]+/gu) ?? [];
    const lines = value.split("\n").filter((line) => line.trim()).length;
    counts.textContent =
      `${integer(lines)} ${lines === 1 ? "line" : "lines"} · ${integer(words.length)} words · ` +
      `${integer(new Set(words).size)} different words · ${integer(value.length)} characters`;
  }
}

// The recipe that a sample brought leaves with it, unless the person chose another one.
let ofSample = null;

function choosePreset(value) {
  const card = form.querySelector(`input[name="preset"][value="${value}"]`);
  if (card) card.checked = true;
}

function ownText() {
  if (ofSample && form.elements.preset.value === ofSample) choosePreset("auto");
  ofSample = null;
}

let pending = 0;
text.addEventListener("input", () => {
  if (!text.value) ownText();
  clearTimeout(pending);
  pending = setTimeout(countText, 150);
});
file.addEventListener("change", () => {
  ownText();
  countText();
});

for (const link of document.querySelectorAll("a[data-sample]")) {
  link.addEventListener("click", async (event) => {
    event.preventDefault();
    const response = await fetch(link.dataset.sample).catch(() => null);
    if (!response?.ok) {
      location.href = link.href;
      return;
    }
    text.value = await response.text();
    file.value = "";
    choosePreset(link.dataset.preset);
    ofSample = link.dataset.preset;
    countText();
    text.focus();
    text.setSelectionRange(0, 0);
    text.scrollTop = 0;
  });
}

const drop = document.querySelector(".drop");
drop.addEventListener("dragover", (event) => {
  if (!event.dataTransfer.types.includes("Files")) return;
  event.preventDefault();
  drop.classList.add("over");
});
drop.addEventListener("dragleave", () => drop.classList.remove("over"));
drop.addEventListener("drop", (event) => {
  drop.classList.remove("over");
  if (!event.dataTransfer.files.length) return;
  event.preventDefault();
  file.files = event.dataTransfer.files;
  ownText();
  countText();
});

let sent = false;
form.addEventListener("submit", (event) => {
  if (sent || tooLarge()) {
    event.preventDefault();
    counts.scrollIntoView({ block: "center" });
    return;
  }
  sent = true;
  const button = form.querySelector("button[type=submit]");
  button.setAttribute("aria-disabled", "true");
  button.textContent = "Sending…";
});
// Coming back with the browser's back button shows the page as it was left: let it be sent again.
addEventListener("pageshow", (event) => {
  if (event.persisted) location.reload();
});

countText();
