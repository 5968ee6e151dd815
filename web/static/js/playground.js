// The playground: the chances of the next word while one types and moves the sliders.
import { Bars } from "./bars.js";
import { chances } from "./chances.js";
import { ofModel, post } from "./problem.js";
import { Unknown } from "./unknown.js";
import { listenToScore } from "./score.js";
import { listenToNearest } from "./nearest.js";
import { Writer } from "./writing.js";

const live = JSON.parse(document.querySelector("#live").textContent);
const root = `/api/v1/models/${live.id}`;
const DEBOUNCE_MS = 200;
const PATIENCE = { Prefer: "wait=15" };
const FILTERS = ["temperature", "top_k", "top_p", "repetition_penalty"];

const byId = (id) => document.getElementById(id);
const prompt = byId("prompt");
const back = byId("back");
const bars = new Bars(byId("bars"), live.answers ? null : append);
const unknown = new Unknown(prompt, byId("unknown"));
const picked = []; // what the prompt was before each word that was picked

let timer = 0;
let asking = null; // the AbortController of the question on its way
let outlook = null; // what the server last told of the prompt

// -- settings -------------------------------------------------------------------------------------

function settings() {
  return Object.fromEntries(FILTERS.map((name) => [name, Number(byId(name).value)]));
}

for (const name of [...FILTERS, "max_tokens"]) {
  byId(name).addEventListener("input", () => {
    byId(`${name}-value`).textContent = byId(name).value;
    redraw();
  });
}

byId("neutral").addEventListener("click", () => {
  for (const name of FILTERS) {
    byId(name).value = byId(name).defaultValue;
    byId(`${name}-value`).textContent = byId(name).value;
  }
  redraw();
});

function redraw() {
  if (outlook) bars.show(outlook.candidates, chances(outlook, settings()));
}

// -- next words -----------------------------------------------------------------------------------

prompt.addEventListener("input", () => {
  picked.length = 0;
  soon();
});

function soon() {
  if (back) back.disabled = picked.length === 0;
  bars.stale();
  clearTimeout(timer);
  timer = setTimeout(askNext, DEBOUNCE_MS);
}

async function askNext() {
  asking?.abort();
  const mine = (asking = new AbortController());
  const text = prompt.value;
  byId("look-inside").href = `${live.inside}?text=${encodeURIComponent(text.slice(-1000))}`;
  try {
    const response = await post(`${root}/next`, { prompt: text }, mine.signal, PATIENCE);
    const told = await response.json();
    if (mine.signal.aborted) return;
    outlook = told;
    redraw();
    unknown.show(told.unknown_tokens, told.notice);
    byId("bars-note").textContent = "";
  } catch (error) {
    if (error.name === "AbortError") return;
    bars.stale();
    byId("bars-note").textContent = ofModel(error);
  }
}

// What a continuation follows directly: tokens of some tokenizers bring no space of their own.
function opened(text) {
  return live.joiner && text && !/\s$/.test(text) ? text + live.joiner : text;
}

function replace(text) {
  prompt.value = text;
  prompt.scrollTop = prompt.scrollHeight;
  unknown.draw();
  soon();
  clearTimeout(timer);
  askNext();
}

function append(token) {
  const before = prompt.value;
  picked.push(before);
  replace(before === "" ? token.replace(/^ /, "") : opened(before) + token);
}

back?.addEventListener("click", () => replace(picked.pop()));

// -- whole texts ----------------------------------------------------------------------------------

const writer = new Writer({
  address: `${root}/predict`,
  answers: live.answers,
  ask: () => ({
    prompt: prompt.value,
    given: live.answers ? `${prompt.value}\n` : opened(prompt.value),
    sampling: { ...settings(), max_tokens: Number(byId("max_tokens").value) },
  }),
  goOn: (text) => {
    replace(text);
    prompt.focus();
  },
});
writer.listen();
listenToScore(root, live);
listenToNearest(root);
askNext();
