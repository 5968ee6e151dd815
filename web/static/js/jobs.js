// The list of jobs: live rows, choosing several, questions before what cannot be taken back.
import { follow } from "./follow.js";
import { keepFresh, refreshRegions } from "./regions.js";

const region = document.querySelector("#jobs");

// -- live rows ------------------------------------------------------------------------------------

let following = "";
let stop = () => {};

function followRows() {
  const now = region.dataset.follows;
  if (now === following) return;
  following = now;
  stop();
  const mine = now;
  if (!mine) return;
  const query = mine.split(" ").map((id) => `job=${encodeURIComponent(id)}`).join("&");
  stop = follow({
    address: () => `/jobs/stream?${query}`,
    receive: showRow,
    poll: () => refreshRegions(),
    line: () => {},
    done: () => following !== mine,
  });
}

function showRow(row) {
  const item = document.getElementById(row.id);
  if (!item) return;
  const badge = item.querySelector(".badge");
  if (!badge.classList.contains(row.state) || badge.textContent !== row.word) {
    refreshRegions().catch(() => {});
    return;
  }
  const bar = item.querySelector("progress");
  if (bar) bar.value = row.fraction;
  const note = item.querySelector("[data-note]");
  if (note.textContent !== row.note) note.textContent = row.note;
}

region.addEventListener("refreshed", () => {
  region.dataset.follows = [...region.querySelectorAll("li[id]")]
    .filter((item) => item.querySelector(".badge.queued, .badge.running, .badge.paused"))
    .map((item) => item.id).join(" ");
  followRows();
  count();
});
followRows();
keepFresh(5); // jobs that were sent elsewhere

// -- choosing -------------------------------------------------------------------------------------

const ticks = () => [...region.querySelectorAll(".tick")];

function count() {
  const chosen = ticks().filter((tick) => tick.checked).length;
  const all = region.querySelector("#all");
  if (!all) return;
  all.checked = chosen > 0 && chosen === ticks().length;
  all.indeterminate = chosen > 0 && !all.checked;
  region.querySelector("#chosen").textContent = chosen ? `${chosen} chosen` : "Choose all";
  region.querySelector(".bulk").classList.toggle("none", chosen === 0);
  for (const button of region.querySelectorAll(".bulk button")) button.disabled = chosen === 0;
}

region.addEventListener("change", (event) => {
  if (event.target.id === "all") {
    for (const tick of ticks()) tick.checked = event.target.checked;
  }
  count();
});

region.addEventListener("keydown", (event) => {
  const row = event.target.closest("li[id]");
  if (!row || event.ctrlKey || event.metaKey || event.altKey) return;
  const next = { ArrowDown: row.nextElementSibling, ArrowUp: row.previousElementSibling }[event.key];
  if (next) {
    next.querySelector(".name a").focus();
    event.preventDefault();
  } else if (event.key === "x" && !event.target.matches("input")) {
    const tick = row.querySelector(".tick");
    tick.checked = !tick.checked;
    count();
  } else if (event.key === "Escape") {
    row.querySelector("details[open]")?.removeAttribute("open");
    row.querySelector(".name a").focus();
  }
});

// One fold at a time, closed by a click beside it.
document.addEventListener("click", (event) => {
  for (const fold of region.querySelectorAll("details[open]")) {
    if (!fold.contains(event.target)) fold.removeAttribute("open");
  }
});

// -- asking first ---------------------------------------------------------------------------------

const ask = document.querySelector("#ask");
let sure = null;

region.addEventListener("submit", (event) => {
  const button = event.submitter;
  if (!button?.dataset.confirm || button === sure) return;
  event.preventDefault();
  document.querySelector("#ask-words").textContent = button.dataset.confirm;
  ask.returnValue = "no";
  ask.onclose = () => {
    if (ask.returnValue !== "yes") return button.focus();
    sure = button;
    button.form.requestSubmit(button);
  };
  ask.showModal();
});

// -- finding --------------------------------------------------------------------------------------

const finder = document.querySelector("#finder");
for (const choice of finder.querySelectorAll("select")) {
  choice.addEventListener("change", () => finder.requestSubmit());
}
finder.addEventListener("submit", () => {
  for (const field of finder.elements) if (!field.value) field.disabled = true; // short addresses
});
addEventListener("pageshow", () => {
  for (const field of finder.elements) field.disabled = false;
});
count();
