// One prediction step by step: tokens, ids, embedding, gates and states, logits, softmax.
import { heat, largest, palette, signed } from "./heat.js";
import { share } from "./format.js";
import { node, visible, word } from "./spelling.js";
import { tableWhenOpened } from "./tokentext.js";

const GATES = ["forget", "input", "candidate", "cell", "output", "hidden"];
const EMBEDDINGS_SHOWN = 6; // rows around the token that is read
const PLAY_MS = 900;
const FULL_MEMORY = 3; // memory may be large; most of it lies below

const byId = (id) => document.getElementById(id);
const say = (name, words) => {
  for (const place of document.querySelectorAll(`[data-say="${name}"]`)) place.textContent = words;
};
const number = (value) => value.toLocaleString("en-US");

export class Steps {
  constructor() {
    this.strips = new Map(GATES.map((key) => [key, document.querySelector(`[data-strip=${key}]`)]));
    this.playing = 0;
    this.cell = 0;
    byId("step").addEventListener("input", () => this.go(Number(byId("step").value)));
    byId("before").addEventListener("click", () => this.go(this.at - 1));
    byId("after").addEventListener("click", () => this.go(this.at + 1));
    byId("play").addEventListener("click", () => (this.playing ? this.pause() : this.play()));
    byId("gates").addEventListener("keydown", (event) => this.key(event));
    for (const strip of this.strips.values()) {
      for (const kind of ["pointerover", "click"]) {
        strip.addEventListener(kind, ({ target }) => {
          if (target !== strip) this.look([...strip.children].indexOf(target));
        });
      }
    }
    byId("quantity").addEventListener("change", () => this.history());
    byId("history-fold").addEventListener("toggle", () => this.history());
    byId("history").addEventListener("click", ({ offsetX, offsetY, target }) => {
      this.go(Math.floor((offsetY / target.clientHeight) * target.height));
      this.look(Math.min(Math.floor((offsetX / target.clientWidth) * target.width), target.width - 1));
    });
    matchMedia("(prefers-color-scheme: dark)").addEventListener("change", () => this.history());
  }

  show(told) {
    this.pause();
    this.told = told;
    const { tokens, ids, gates, cells, steps } = told;
    this.most = { cell: Math.min(FULL_MEMORY, largest(gates.cell)) };
    this.embeddingMost = largest(steps.map((step) => step.embedding));
    this.cell = strongest(gates.hidden.at(-1));
    say("vocabulary", number(told.vocabulary_size));
    say("ids", list(ids));
    say("shape", `[${told.embedding_shape.join(", ")}]`);
    say("shape-words", `${number(tokens.length)} ${tokens.length === 1 ? "token" : "tokens"}, ${told.embedding_shape[1]} numbers each${
      steps[0].embedding.length < told.embedding_shape[1]
        ? ` (the first ${steps[0].embedding.length} are drawn)` : ""}`);
    say("embed", number(told.embedding_shape[1]));
    say("hidden", number(told.hidden_size));
    say("scale", [
      cells.length < told.hidden_size ? `The ${cells.length} cells that move most are drawn.` : "",
      this.most.cell > 1 ? `Memory has its full colour at ±${this.most.cell.toFixed(1)}.` : "",
    ].join(" "));
    byId("chips").replaceChildren(...steps.map((step, at) => this.chip(step, at)));
    for (const strip of this.strips.values()) {
      strip.style.setProperty("--cells", cells.length);
      strip.replaceChildren(...cells.map(() => node("span", "")));
    }
    byId("step").max = steps.length - 1;
    this.at = -1;
    this.go(steps.length - 1);
    this.history();
  }

  chip({ token, id }, at) {
    const button = node("button", "chip", word(token), node("span", "id", String(id)));
    button.type = "button";
    button.addEventListener("click", () => this.go(at));
    return node("li", "", button);
  }

  go(at) {
    const last = this.told.steps.length - 1;
    at = Math.min(Math.max(at, 0), last);
    if (at === this.at) return;
    this.at = at;
    const step = byId("step");
    step.value = at;
    step.setAttribute("aria-valuetext", visible(this.told.steps[at].token));
    byId("before").disabled = at === 0;
    byId("after").disabled = at === last;
    const chips = byId("chips");
    [...chips.children].forEach((item, of) => {
      if (of === at) item.firstChild.setAttribute("aria-current", "step");
      else item.firstChild.removeAttribute("aria-current");
    });
    // not scrollIntoView, which would move the page too
    chips.scrollTop = chips.children[at].offsetTop - chips.clientHeight / 2;
    const place = `(step ${at + 1} of ${last + 1})`;
    byId("now").replaceChildren("It reads ", word(this.told.steps[at].token), ` ${place}.`);
    this.embedding();
    for (const [key, strip] of this.strips) {
      this.told.gates[key][at].forEach((value, of) =>
        heat(strip.children[of], value, this.most[key]));
    }
    this.logits();
    this.look(this.cell);
    this.history();
    tableWhenOpened(byId("cell-table"), ["Cell", ...GATES], () => this.told.cells.map((cell, of) =>
      [String(cell), ...GATES.map((key) => signed(this.told.gates[key][at][of], 3))]));
  }

  embedding() {
    const { steps } = this.told;
    const first = Math.max(0, Math.min(this.at - 2, steps.length - EMBEDDINGS_SHOWN));
    const shown = steps.slice(first, first + EMBEDDINGS_SHOWN);
    byId("embedding").replaceChildren(...shown.flatMap((step, at) => {
      const strip = node("span", "strip");
      strip.style.setProperty("--cells", step.embedding.length);
      strip.append(...step.embedding.map((value) => {
        const cell = node("span", "");
        heat(cell, value, this.embeddingMost);
        cell.title = signed(value, 3);
        return cell;
      }));
      const name = node("span", first + at === this.at ? "name here" : "name", word(step.token));
      return [name, strip];
    }));
    const columns = ["Token", ...steps[0].embedding.map((_, at) => String(at))];
    tableWhenOpened(byId("embedding-table"), columns, () =>
      steps.map((step) => [word(step.token), ...step.embedding.map((value) => signed(value))]));
  }

  // One cell in numbers: how its memory and what it shows came about.
  look(of) {
    this.cell = of;
    for (const strip of this.strips.values()) {
      strip.querySelector(".looked-at")?.classList.remove("looked-at");
      strip.children[of]?.classList.add("looked-at");
    }
    const value = (key) => this.told.gates[key][this.at][of];
    const before = this.at ? this.told.gates.cell[this.at - 1][of] : this.told.cell_before[of];
    const sum = (...parts) => node("p", "formula", ...parts);
    byId("cell-words").replaceChildren(
      node("p", "", node("b", "", `Cell ${this.told.cells[of]}`), ` ${this.story(of, before)}`),
      sum(`memory = forget × old memory + input × new = ${signed(value("forget"))} × ${
        signed(before)} + ${signed(value("input"))} × ${signed(value("candidate"))} = `,
      node("b", "", signed(value("cell")))),
      sum(`shown = output × tanh(memory) = ${signed(value("output"))} × ${
        signed(Math.tanh(value("cell")))} = `, node("b", "", signed(value("hidden")))),
    );
  }

  story(of, before) {
    const value = (key) => this.told.gates[key][this.at][of];
    const kept = Math.abs(before) < 0.05 ? "had nothing to keep"
      : `keeps ${share(value("forget"))} of its memory`;
    return `${kept}, lets in ${share(value("input"))} of what is new, and shows ${
      share(value("output"))} of it.`;
  }

  key(event) {
    const by = { ArrowRight: 1, ArrowLeft: -1 }[event.key];
    if (!by) return;
    event.preventDefault();
    this.look(Math.min(Math.max(this.cell + by, 0), this.told.cells.length - 1));
  }

  logits() {
    const { steps, next_tokens: end } = this.told;
    const last = this.at === steps.length - 1;
    const next = (last ? end.slice(0, 10) : steps[this.at].next_tokens);
    byId("logits").replaceChildren(...next.map(({ token, logit, probability }) => {
      const fill = node("span", "fill");
      fill.style.inlineSize = `${probability * 100}%`;
      const head = node("th", "", word(token));
      head.scope = "row";
      return node("tr", "", head, node("td", "number", signed(logit)),
        node("td", "number", share(probability)),
        node("td", "chance", node("span", "track", fill)));
    }));
    const [{ token, logit, probability }] = next;
    const sum = last ? this.told.log_sum : logit - Math.log(probability);
    document.querySelector("[data-say=softmax]").replaceChildren(
      "chance of ", word(token), ` = e^${signed(logit)} ÷ the sum over all = ${
        figure(Math.exp(logit))} ÷ ${figure(Math.exp(sum))} = `, node("b", "", share(probability)),
    );
  }

  history() {
    if (!byId("history-fold").open || !this.told) return;
    const key = byId("quantity").value;
    const rows = this.told.gates[key];
    const canvas = byId("history");
    const colour = palette(canvas);
    canvas.width = rows[0].length;
    canvas.height = rows.length;
    canvas.style.setProperty("--rows", rows.length);
    const context = canvas.getContext("2d");
    const image = context.createImageData(canvas.width, canvas.height);
    rows.flat().forEach((value, at) =>
      image.data.set([...colour(value, this.most[key]), 255], at * 4));
    context.putImageData(image, 0, 0);
  }

  play() {
    if (this.at === this.told.steps.length - 1) this.go(0);
    byId("play").textContent = "Pause";
    this.playing = setInterval(() => {
      this.go(this.at + 1);
      if (this.at === this.told.steps.length - 1) this.pause();
    }, PLAY_MS);
  }

  pause() {
    clearInterval(this.playing);
    this.playing = 0;
    byId("play").textContent = "Play";
  }
}

function strongest(values) {
  const sizes = values.map(Math.abs);
  return sizes.indexOf(Math.max(...sizes));
}

function list(ids) {
  const shown = ids.slice(-64);
  return `[${ids.length > 64 ? "…, " : ""}${shown.join(", ")}]`;
}

function figure(value) {
  if (value < 1e6 && value >= 100) return value.toLocaleString("en-US", { maximumFractionDigits: 1 });
  if (value < 100 && value >= 0.001) return value.toPrecision(3);
  const [digits, power] = value.toExponential(2).split("e");
  return `${digits} · 10^${Number(power)}`;
}
