// The playground: next words while one types, and whole texts as a stream.
import { Bars } from "./bars.js";
import { post } from "./problem.js";
import { readEvents } from "./stream.js";

const live = JSON.parse(document.querySelector("#live").textContent);
const address = `/api/v1/models/${live.id}/predict`;
const DEBOUNCE_MS = 200;
const PATIENCE = { Prefer: "wait=15" };

const byId = (id) => document.getElementById(id);
const prompt = byId("prompt");
const [given, written] = byId("answer").children;
const bars = new Bars(byId("bars"), live.answers ? null : append);
const take = byId("take");
const BROKEN_OFF = "The answer broke off on its way. Try once more.";
const KNOBS = ["temperature", "top_k", "top_p", "max_tokens"];

// -- next words -----------------------------------------------------------------------------------

let timer = 0;
let asking = null; // the AbortController of the question on its way

prompt.addEventListener("input", () => {
  clearTimeout(timer);
  bars.stale();
  timer = setTimeout(askNext, DEBOUNCE_MS);
});

async function askNext() {
  asking?.abort();
  const mine = (asking = new AbortController());
  try {
    const body = { prompt: prompt.value, sampling: { max_tokens: 0 } };
    const response = await post(address, body, mine.signal, PATIENCE);
    const result = await response.json();
    if (mine.signal.aborted) return;
    bars.show(result.next_tokens);
    showUnknown(result.unknown_tokens ?? [], result.notice);
    byId("bars-note").textContent = "";
  } catch (error) {
    if (error.name === "AbortError") return;
    bars.stale();
    byId("bars-note").textContent = error.message;
  }
}

// What a continuation follows directly: tokens of some tokenizers bring no space of their own.
function opened(text) {
  return live.joiner && text && !/\s$/.test(text) ? text + live.joiner : text;
}

function append(token) {
  const before = prompt.value;
  prompt.value = before === "" ? token.replace(/^ /, "") : opened(before) + token;
  prompt.scrollTop = prompt.scrollHeight;
  bars.stale();
  clearTimeout(timer);
  askNext();
}

function showUnknown(words, notice) {
  const place = byId("unknown");
  place.replaceChildren();
  if (words.length) {
    const distinct = [...new Set(words.map((word) => word.trim() || word))];
    place.append(distinct.length === 1 ? "It has never seen " : "It has never seen these: ");
    distinct.forEach((word, index) => {
      const mark = document.createElement("mark");
      mark.textContent = word;
      mark.dir = "auto";
      place.append(index ? ", " : "", mark);
    });
    place.append(". ");
  }
  if (notice) place.append(notice);
}

// -- whole texts ----------------------------------------------------------------------------------

let writing = null; // the AbortController of the text being written

for (const name of KNOBS) {
  byId(name).addEventListener("input", () => {
    byId(`${name}-value`).textContent = byId(name).value;
  });
}

byId("write").addEventListener("submit", async (event) => {
  event.preventDefault();
  writing?.abort();
  const mine = (writing = new AbortController());
  const text = prompt.value;
  given.textContent = live.answers ? `${text}\n` : opened(text);
  written.textContent = "";
  busy(true);
  say("");
  try {
    const sampling = Object.fromEntries(KNOBS.map((name) => [name, Number(byId(name).value)]));
    const body = { prompt: text, sampling, stream: true };
    const response = await post(address, body, mine.signal);
    let last = null;
    for await (const item of readEvents(response)) show((last = item));
    if (last?.type !== "result" && last?.type !== "error") say(BROKEN_OFF);
  } catch (error) {
    if (error.name !== "AbortError") say(error.status === undefined ? BROKEN_OFF : error.message);
    else if (writing === mine) say("Stopped.");
  }
  if (writing === mine) {
    busy(false);
    if (take) take.disabled = !written.textContent;
  }
});

function show(item) {
  if (item.type === "token") {
    written.textContent += item.text;
  } else if (item.type === "result") {
    const completion = item.result.completions[0];
    written.textContent = completion.text;
    const count = completion.tokens.length ?? completion.tokens;
    const end = completion.finish_reason === "length" ? "It could go on." : "It came to an end.";
    say(`${count} ${count === 1 ? "token" : "tokens"}. ${end}`);
  } else if (item.type === "error") {
    say(item.error?.detail ?? "The model could not go on.");
  }
}

function busy(is) {
  byId("answer").classList.toggle("busy", is);
  byId("answer").setAttribute("aria-busy", String(is));
  byId("stop").hidden = !is;
}

function say(words) {
  byId("answer-note").textContent = words;
}

byId("stop").addEventListener("click", () => {
  writing?.abort();
  byId("go").focus();
});

take?.addEventListener("click", () => {
  prompt.value = given.textContent + written.textContent;
  prompt.focus();
  askNext();
});

askNext();
