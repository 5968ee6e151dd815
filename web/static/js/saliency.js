// What in the text spoke for the word that the model expects next.
import { heat, signed } from "./heat.js";
import { visible, word } from "./spelling.js";
import { TokenText } from "./tokentext.js";

const byId = (id) => document.getElementById(id);

export class Saliency {
  constructor(spaced) {
    this.spaced = spaced;
    this.text = new TokenText(byId("saliency"), (at) => this.look("", this.told.context[at]));
  }

  show(told) {
    this.told = told;
    const most = Math.max(1e-9, ...told.context.map((each) => Math.abs(each.saliency)));
    document.querySelector("[data-say=predicted]").textContent = visible(told.predicted);
    const strongest = told.context.reduce((a, b) => Math.abs(b.saliency) > Math.abs(a.saliency) ? b : a);
    this.look("Most of all ", strongest);
    this.text.show(told.context.map(({ token }) => token), {
      spaced: this.spaced,
      says: (at) => `${signed(told.context[at].saliency)} nats`,
      paint: (item, at) => heat(item, told.context[at].saliency, most),
    });
  }

  look(before, { token, saliency }) {
    const side = saliency < 0 ? "against" : "for";
    byId("saliency-look").replaceChildren(
      before, word(token), ` spoke ${side} `, word(this.told.predicted),
      `: ${signed(saliency)} nats.`);
  }
}
