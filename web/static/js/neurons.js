// The text coloured by one memory cell, the most interesting ones suggested.
import { heat, signed } from "./heat.js";
import { ofModel } from "./problem.js";
import { node, visible, word } from "./spelling.js";
import { TokenText, tableWhenOpened } from "./tokentext.js";

const byId = (id) => document.getElementById(id);

export class Neurons {
  // ask(body): the answer of /neurons
  constructor({ ask, spaced }) {
    Object.assign(this, { ask, spaced });
    this.text = new TokenText(byId("neuron-text"), (at) => {
      byId("neuron-look").replaceChildren(
        word(this.told.tokens[at]), `: ${signed(this.shown.values[at])}`);
    });
    byId("any-neuron").addEventListener("submit", (event) => {
      event.preventDefault();
      this.other(Number(byId("neuron").value));
    });
  }

  // told: the answer of /neurons about these words
  show(told, words) {
    this.told = told;
    this.words = words;
    this.list(told.neurons);
    this.paint(told.neurons[0]);
    byId("neurons-note").textContent = told.neurons.every((each) => each.correlation === null)
      ? "In so short a text no pattern can be told from chance: these are the cells that move most. Give it a few lines to see what they follow."
      : "The percentage says how well it fits in this text (a correlation): a suggestion, not a proof.";
  }

  async other(neuron) {
    try {
      const layer = byId("layer") ? Number(byId("layer").value) : null;
      this.told = await this.ask({ text: this.words, layer, neuron });
      this.list(this.told.neurons);
      this.paint(this.told.neurons[0]);
    } catch (error) {
      if (error.name !== "AbortError") byId("neurons-note").textContent = ofModel(error);
    }
  }

  list(neurons) {
    byId("neurons").replaceChildren(...neurons.map((each, at) => {
      const input = node("input");
      Object.assign(input, { type: "radio", name: "neuron-choice", checked: at === 0 });
      input.addEventListener("change", () => this.paint(each));
      const fit = each.correlation === null ? ""
        : node("span", "fit", `${Math.round(Math.abs(each.correlation) * 100)} %`);
      return node("label", "choice", input, node("b", "", this.name(each)),
        node("span", "reason", each.reason.replace(/-(?=\d)/g, "−")), fit);
    }));
  }

  name({ layer, neuron }) {
    return this.told.layers > 1 ? `Layer ${layer + 1}, cell ${neuron}` : `Cell ${neuron}`;
  }

  paint(shown) {
    this.shown = shown;
    byId("neuron-look").textContent = "Point at a word, or move through the text with the arrow keys.";
    this.text.show(this.told.tokens, {
      spaced: this.spaced,
      says: (at) => signed(shown.values[at]),
      paint: (item, at) => heat(item, shown.values[at]),
    });
    tableWhenOpened(byId("neuron-table"), ["Token", "Shown"], () =>
      this.told.tokens.map((token, at) => [visible(token), signed(shown.values[at], 3)]));
  }
}
