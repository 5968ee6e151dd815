// The form: where the text comes from, live counts, one submit per click.
import { bytes, integer } from "./format.js";
import { watchForm } from "./preview.js";

const form = document.querySelector("#start");
const { text, file, dataset } = form.elements;
const counts = document.querySelector("#counts");
const COUNTED_CHARACTERS = 2_000_000;
// A paste so large would make the box slow: it becomes a file.
const LARGEST_PASTE = 1_000_000;

// What is too large never arrives: better to say so while the text is still here.
function tooLarge() {
  if (file.files.length) {
    const { name, size } = file.files[0];
    const most = Number(file.dataset.maxBytes);
    return size > most ? `${name} has ${bytes(size)}: at most ${bytes(most)} are taken.` : "";
  }
  const most = Number(text.dataset.maxBytes);
  if (dataset?.value || text.value.length * 3 < most) return "";
  const size = new Blob([text.value]).size;
  return size > most
    ? `The text has ${bytes(size)}: at most ${bytes(most)} fit into the box. Send it as a file.`
    : "";
}

function sourceSentence() {
  if (file.files.length) {
    const { name, size } = file.files[0];
    return `${name}, ${bytes(size)}. The file is used, not the box above.`;
  }
  if (dataset?.value) return "A text from before is used, not the box above.";
  return "";
}

function countText() {
  const refusal = tooLarge();
  const other = sourceSentence();
  counts.classList.toggle("message", refusal !== "");
  form.querySelector(".text-part").classList.toggle("other", other !== "");
  if (refusal || other) {
    counts.textContent = refusal || other;
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

const look = watchForm(form);

function changed() {
  countText();
  look();
}

// -- where the text comes from: the last choice wins -----------------------------------------------

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

function useFile(chosen) {
  const carrier = new DataTransfer();
  carrier.items.add(chosen);
  file.files = carrier.files;
  useOther(file);
}

function useOther(source) {
  if (source !== file) file.value = "";
  if (source !== dataset && dataset) dataset.value = "";
  ownText();
  changed();
}

let pending = 0;
text.addEventListener("input", () => {
  if (!text.value) ownText();
  file.value = "";
  if (dataset) dataset.value = "";
  clearTimeout(pending);
  pending = setTimeout(countText, 150);
});
text.addEventListener("paste", (event) => {
  const pasted = event.clipboardData?.getData("text/plain") ?? "";
  if (pasted.length < LARGEST_PASTE) return;
  event.preventDefault();
  useFile(new File([pasted], "pasted text.txt", { type: "text/plain" }));
});
file.addEventListener("change", () => useOther(file));
dataset?.addEventListener("change", () => useOther(dataset));

for (const link of document.querySelectorAll("a[data-sample]")) {
  link.addEventListener("click", async (event) => {
    event.preventDefault();
    const response = await fetch(link.dataset.sample).catch(() => null);
    if (!response?.ok) {
      location.href = link.href;
      return;
    }
    text.value = await response.text();
    useOther(text);
    choosePreset(link.dataset.preset);
    ofSample = link.dataset.preset;
    changed();
    text.focus({ preventScroll: true });
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
drop.addEventListener("dragleave", (event) => {
  if (!drop.contains(event.relatedTarget)) drop.classList.remove("over");
});
drop.addEventListener("drop", (event) => {
  drop.classList.remove("over");
  if (!event.dataTransfer.files.length) return;
  event.preventDefault();
  useFile(event.dataTransfer.files[0]);
});

// -- sending ---------------------------------------------------------------------------------------

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

changed();
