// Whole texts: several continuations of one prompt, each streamed into a card of its own.
import { ofModel, post } from "./problem.js";
import { node } from "./spelling.js";
import { readEvents } from "./stream.js";

const BROKEN_OFF = "The answer broke off on its way. Try once more.";
const LARGEST_SEED = 2 ** 31;

const byId = (id) => document.getElementById(id);

export class Writer {
  // ask(): {prompt, given, sampling}; goOn(text): continue from there
  constructor({ address, answers, ask, goOn }) {
    Object.assign(this, { address, answers, ask, goOn });
    this.cards = byId("answers");
    this.writing = null; // the AbortController of the texts being written
  }

  listen() {
    byId("write").addEventListener("submit", (event) => {
      event.preventDefault();
      this.write();
    });
    byId("stop").addEventListener("click", () => {
      this.writing?.abort();
      byId("go").focus();
    });
  }

  async write() {
    this.writing?.abort();
    const mine = (this.writing = new AbortController());
    const asked = this.ask();
    const texts = Math.min(Math.max(Number(byId("n").value) || 1, 1), 4);
    const first = byId("seed").value === "" ? random() : Math.trunc(Number(byId("seed").value));
    const cards = Array.from({ length: texts }, (_, at) => this.card(asked.given, first + at));
    this.cards.replaceChildren(...cards.map((card) => card.item));
    this.cards.dataset.texts = texts;
    byId("stop").hidden = false;
    this.say("");
    // one after the other: a predictor writes one text at a time anyway
    for (const card of cards) {
      if (!mine.signal.aborted) await this.one(card, asked, mine.signal);
    }
    if (this.writing !== mine) return;
    byId("stop").hidden = true;
    const failed = cards.find((card) => card.failed);
    this.say(failed ? failed.failed : mine.signal.aborted ? "Stopped." : done(cards));
  }

  async one(card, { prompt, sampling }, signal) {
    card.item.classList.add("busy");
    card.item.setAttribute("aria-busy", "true");
    try {
      const body = { prompt, sampling: { ...sampling, seed: card.seed }, stream: true };
      const response = await post(this.address, body, signal);
      let last = null;
      for await (const item of readEvents(response)) show(card, (last = item));
      if (last?.type !== "result" && last?.type !== "error") card.failed = BROKEN_OFF;
    } catch (error) {
      if (error.name !== "AbortError") {
        card.failed = error.status === undefined ? BROKEN_OFF : ofModel(error);
      }
    }
    card.item.classList.remove("busy");
    card.item.setAttribute("aria-busy", "false");
    card.written.tabIndex = 0;
    card.end(this.answers);
  }

  card(given, seed) {
    const written = node("span", "new");
    const text = node("div", "answer text", node("span", "given", given), written);
    text.dir = "auto";
    text.tabIndex = 0;
    text.setAttribute("role", "region");
    text.setAttribute("aria-label", "What the model writes");
    const copy = node("button", "button small", "Copy");
    const take = node("button", "button small", "Go on from there");
    const note = node("span", "note", `Seed ${seed}`);
    const tools = node("div", "row", copy, note);
    const card = { item: node("li", "", text, tools), text, written, given, seed, count: 0 };
    for (const button of [copy, take]) {
      button.type = "button";
      button.disabled = true;
    }
    copy.addEventListener("click", () => copyText(text, copy));
    take.addEventListener("click", () => this.goOn(given + written.textContent));
    if (!this.answers) copy.after(take);
    card.end = () => {
      copy.disabled = take.disabled = !written.textContent;
    };
    return card;
  }

  say(words) {
    byId("answer-note").textContent = words;
  }
}

function show(card, item) {
  if (item.type === "token") {
    card.written.append(item.text);
  } else if (item.type === "result") {
    const completion = item.result.completions[0];
    card.written.textContent = completion.text;
    card.count = completion.tokens.length ?? completion.tokens;
    card.whole = completion.finish_reason !== "length";
  } else if (item.type === "error") {
    card.failed = item.error?.detail ?? "The model could not go on.";
  }
}

function done(cards) {
  const count = cards.reduce((sum, card) => sum + card.count, 0);
  const tokens = `${count} ${count === 1 ? "token" : "tokens"}`;
  if (cards.length > 1) return `${cards.length} texts, ${tokens} together.`;
  return `${tokens}. ${cards[0].whole ? "It came to an end." : "It could go on."}`;
}

function random() {
  return Math.floor(Math.random() * LARGEST_SEED);
}

async function copyText(text, button) {
  const words = button.textContent;
  try {
    await navigator.clipboard.writeText(text.textContent);
    button.textContent = "Copied";
  } catch {
    // not everywhere may a page write to the clipboard: then it only marks what to copy
    getSelection().selectAllChildren(text);
    button.textContent = "Press Ctrl+C";
  }
  setTimeout(() => (button.textContent = words), 1500);
}
