// The likeliest next tokens as bars one can pick from.
import { share as percent } from "./format.js";
import { SPECIAL, node, visible } from "./spelling.js";

const SHOWN = 10;

export class Bars {
  // onPick(token) is called with the text of the token that was chosen; null: only to look at
  constructor(list, onPick) {
    this.list = list;
    this.onPick = onPick;
    this.rows = [];
  }

  // candidates: [{token}, …], shares: [{raw, share}, …] of the same order; see chances.js
  show(candidates, shares) {
    const all = candidates.map(({ token }, at) => ({ token, ...shares[at] }));
    all.sort((a, b) => b.share - a.share || b.raw - a.raw);
    const shown = all.slice(0, SHOWN);
    while (this.rows.length < shown.length) this.rows.push(this.row());
    this.list.replaceChildren(...this.rows.slice(0, shown.length).map((row) => row.item));
    shown.forEach((next, at) => this.fill(this.rows[at], next));
    this.list.classList.remove("stale");
  }

  stale() {
    this.list.classList.add("stale");
  }

  row() {
    const parts = {
      word: node("span", "word"),
      fill: node("span", "fill"),
      mark: node("span", "mark"),
      number: node("span", "share"),
    };
    const track = node("span", "track", parts.fill, parts.mark);
    track.setAttribute("aria-hidden", "true");
    parts.bar = node(this.onPick ? "button" : "div", "bar", parts.word, track, parts.number);
    parts.word.dir = "auto";
    if (this.onPick) {
      parts.bar.type = "button";
      parts.bar.addEventListener("click", () => {
        const { token } = parts;
        this.onPick(token === "<eos>" ? "\n" : token);
      });
    }
    return { ...parts, item: node("li", "", parts.bar), parts };
  }

  fill(row, { token, raw, share }) {
    row.parts.token = token;
    row.word.textContent = visible(token);
    row.word.classList.toggle("special", token in SPECIAL);
    row.fill.style.inlineSize = `${share * 100}%`;
    row.mark.style.insetInlineStart = `${raw * 100}%`;
    row.number.textContent = share === 0 ? "left out" : percent(share);
    row.bar.classList.toggle("out", share === 0);
    if (this.onPick) row.bar.disabled = token in SPECIAL && token !== "<eos>";
  }
}
