// The page that looks inside: one text, asked about in three ways.
import { Neurons } from "./neurons.js";
import { ofModel, post } from "./problem.js";
import { Saliency } from "./saliency.js";
import { Steps } from "./steps.js";
import { Unknown } from "./unknown.js";
import { WordMap } from "./wordmap.js";

const live = JSON.parse(document.querySelector("#live").textContent);
const root = `/api/v1/models/${live.id}`;
const PATIENCE = { Prefer: "wait=20" };
// What a model without a text to explain is asked to write first.
const FIRST = { max_tokens: live.unit === "letter" ? 120 : 40, temperature: 0.7, seed: 1 };
const FIRST_WORDS = 12;

const byId = (id) => document.getElementById(id);
const text = byId("text");
const spaced = live.joiner !== "";
const unknown = new Unknown(text, byId("unknown"));
const steps = new Steps();
const saliency = new Saliency(spaced);
const neurons = new Neurons({ ask: (body) => ask("neurons", body), spaced });

let looking = null; // the AbortController of the look on its way

async function ask(question, body) {
  const response = await post(`${root}/${question}`, body, looking?.signal, PATIENCE);
  return response.json();
}

async function look() {
  looking?.abort();
  const mine = (looking = new AbortController());
  const note = byId("look-note");
  note.textContent = "Reading …";
  byId("stations").setAttribute("aria-busy", "true");
  try {
    if (!text.value.trim()) await writeOne();
    const words = text.value;
    if (!words) throw new Error("Write some words it knows, then look inside.");
    const layer = byId("layer") ? Number(byId("layer").value) : null;
    const told = await ask("explain", { text: words, layer });
    steps.show(told);
    unknown.show(told.unknown_tokens);
    note.textContent = told.first_step > 0
      ? `All ${told.tokens.length} tokens were read; the last ${told.steps.length} are shown.` : "";
    saliency.show(await ask("saliency", { prompt: words }));
    neurons.show(await ask("neurons", { text: words }), words);
  } catch (error) {
    if (error.name !== "AbortError") note.textContent = ofModel(error);
  }
  if (looking === mine) byId("stations").setAttribute("aria-busy", "false");
}

async function writeOne() {
  const told = await ask("predict", { prompt: "", sampling: FIRST });
  const words = told.completions[0].text.trim().split(/\s+/);
  text.value = words.slice(0, FIRST_WORDS).join(" ");
  unknown.draw();
}

byId("look").addEventListener("submit", (event) => {
  event.preventDefault();
  look();
});
byId("layer")?.addEventListener("change", look);

// Far down the page: asked for when somebody comes near.
const map = new WordMap(root);
new IntersectionObserver((seen, observer) => {
  if (!seen.some((entry) => entry.isIntersecting)) return;
  observer.disconnect();
  map.load();
}, { rootMargin: "400px" }).observe(byId("map"));

look();
