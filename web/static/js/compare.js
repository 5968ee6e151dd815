// Several trainings: their curves in one picture, and the same words to all their models.
import { visible } from "./spelling.js";
import { Curve, tools } from "./curve.js";
import { share } from "./format.js";
import { post } from "./problem.js";
import { keepFresh } from "./regions.js";

const region = document.querySelector("#compared");
const TOKENS = 32;
const NEXTS = 5;
const HELD_OUT = 2;
let which = HELD_OUT; // the place of the loss in a point: [step, training, held out]
let curve = null;

const read = () => JSON.parse(region.querySelector(".curves").textContent);

function draw() {
  const sides = read();
  const lines = sides.map(({ label, colour }, index) => ({
    label, colour, dash: index % 2 ? [7, 4] : undefined,
  }));
  const scale = curve?.scale ?? "linear";
  curve?.chart?.destroy();
  if (!curve) {
    curve = new Curve(document.querySelector("#curve"), lines);
    tools(document, curve, "Losses");
  } else {
    curve.chart = null;
    curve.lines = lines;
    curve.steps = [];
    curve.values = lines.map(() => []);
  }
  curve.scale = scale;
  const at = new Map();
  sides.forEach(({ curve: points }, index) => {
    for (const point of points) {
      if (!at.has(point[0])) at.set(point[0], lines.map(() => null));
      at.get(point[0])[index] = point[which];
    }
  });
  for (const step of [...at.keys()].sort((a, b) => a - b)) curve.push(step, at.get(step));
  curve.draw();
}

if (region) {
  const held = read().some(({ curve: points }) => points.some((point) => point[HELD_OUT] !== null));
  const choices = document.querySelectorAll("[data-loss]");
  const choose = (value) => {
    which = value;
    choices.forEach((one) => one.setAttribute("aria-pressed", String(Number(one.dataset.loss) === which)));
    draw();
  };
  choices.forEach((one) => one.addEventListener("click", () => choose(Number(one.dataset.loss))));
  choose(held ? HELD_OUT : 1);
  region.addEventListener("refreshed", draw);
  if ("unfinished" in region.dataset) keepFresh(2);
}

// -- the same words to all ------------------------------------------------------------------------

const form = document.querySelector("#ask");
let asking = null;

form?.addEventListener("submit", async (event) => {
  event.preventDefault();
  asking?.abort();
  const mine = (asking = new AbortController());
  const prompt = form.elements.prompt.value;
  const temperature = form.elements.greedy.checked ? 0 : 0.8;
  const note = document.querySelector("#ask-note");
  note.textContent = "Asking …";
  const models = read().map((side) => side.model);
  const items = [...document.querySelectorAll("#answers > li")];
  const asked = items.map((item, index) =>
    models[index] ? one(item, models[index], prompt, temperature, mine.signal) : null);
  const done = (await Promise.all(asked)).filter((answered) => answered).length;
  if (!mine.signal.aborted) note.textContent = `${done} ${done === 1 ? "model" : "models"} answered.`;
});

async function one(item, model, prompt, temperature, signal) {
  const [answer, nexts] = [item.querySelector(".answer"), item.querySelector(".nexts")];
  item.setAttribute("aria-busy", "true");
  try {
    const body = { prompt, sampling: { max_tokens: TOKENS, temperature } };
    const response = await post(`/api/v1/models/${model}/predict`, body, signal);
    const result = await response.json();
    const given = document.createElement("span");
    given.className = "given";
    given.textContent = prompt;
    answer.replaceChildren(given, " ", result.completions[0].text);
    nexts.replaceChildren(...result.next_tokens.slice(0, NEXTS).map(bar));
    return true;
  } catch (error) {
    if (error.name === "AbortError") return false;
    const message = document.createElement("span");
    message.className = "message";
    message.textContent = error.message;
    answer.replaceChildren(message);
    nexts.replaceChildren();
    return false;
  } finally {
    item.removeAttribute("aria-busy");
  }
}

function bar({ token, probability }) {
  const item = document.createElement("li");
  const word = document.createElement("span");
  word.className = "word";
  word.dir = "auto";
  word.textContent = visible(token);
  const drawn = document.createElement("progress");
  drawn.max = 1;
  drawn.value = probability;
  drawn.setAttribute("aria-hidden", "true");
  const part = document.createElement("span");
  part.className = "share";
  part.textContent = share(probability);
  item.append(word, drawn, part);
  return item;
}
