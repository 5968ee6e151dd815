// Words that the model has never seen, underlined where one types them.
//
// A text box cannot mark its text, so a copy of it lies behind: invisible but for the underlines.
import { node } from "./spelling.js";

const LETTER = "[\\p{L}\\p{M}\\p{N}_]";

export class Unknown {
  constructor(box, says) {
    this.box = box;
    this.says = says;
    this.copy = node("div", "prompt underlines");
    this.copy.setAttribute("aria-hidden", "true");
    this.copy.dir = "auto";
    box.before(this.copy);
    box.addEventListener("scroll", () => this.follow());
    box.addEventListener("input", () => this.draw());
    this.words = [];
  }

  // What the server reported of the box's text, and its notice, if there is one.
  show(words, notice) {
    this.words = words;
    this.draw();
    this.says.replaceChildren();
    const distinct = [...new Set(words.map((word) => word.trim() || word))];
    if (distinct.length) {
      this.says.append(distinct.length === 1 ? "It has never seen " : "It has never seen these: ");
      distinct.forEach((word, at) => {
        const mark = node("mark", "", word);
        mark.dir = "auto";
        this.says.append(at ? ", " : "", mark);
      });
      this.says.append(". ");
    }
    if (notice) this.says.append(notice);
  }

  draw() {
    const text = this.box.value;
    const pieces = [];
    let end = 0;
    for (const [start, stop] of this.places(text)) {
      pieces.push(text.slice(end, start), node("u", "", text.slice(start, stop)));
      end = stop;
    }
    this.copy.replaceChildren(...pieces, text.slice(end), "\u200b");
    this.follow();
  }

  places(text) {
    if (!this.words.length) return [];
    const found = this.words.map((word) => {
      const plain = word.replace(/[.*+?^${}()|[\]\\/-]/g, "\\$&");
      const whole = [...word].length > 1 && /^[\p{L}\p{M}\p{N}_]/u.test(word);
      return whole ? `(?<!${LETTER})${plain}(?!${LETTER})` : plain;
    });
    return [...text.matchAll(new RegExp(found.join("|"), "giu"))].map((match) => [
      match.index,
      match.index + match[0].length,
    ]);
  }

  follow() {
    this.copy.scrollTop = this.box.scrollTop;
  }
}
