// The likeliest next tokens as bars one can pick from.
import { share } from "./format.js";

const SPECIAL = { "<eos>": "end of line", "<sep>": "answer begins", "<unk>": "unknown word" };

export class Bars {
  // onPick(token) is called with the text of the token that was chosen; null: only to look at
  constructor(list, onPick) {
    this.list = list;
    this.onPick = onPick;
  }

  // nextTokens: [{token, probability}, …], likeliest first
  show(nextTokens) {
    const hadFocus = [...this.list.children].findIndex((item) =>
      item.contains(document.activeElement));
    this.list.replaceChildren(...nextTokens.map((next) => this.item(next)));
    this.list.classList.remove("stale");
    if (hadFocus >= 0) this.list.children[0]?.querySelector("button")?.focus();
  }

  stale() {
    this.list.classList.add("stale");
  }

  item({ token, probability }) {
    const item = document.createElement("li");
    const button = document.createElement(this.onPick ? "button" : "div");
    button.className = "bar";
    const word = document.createElement("span");
    word.className = token in SPECIAL ? "word special" : "word";
    word.dir = "auto";
    word.textContent = visible(token);
    const bar = document.createElement("progress");
    bar.max = 1;
    bar.value = probability;
    bar.setAttribute("aria-hidden", "true");
    const percent = document.createElement("span");
    percent.className = "share";
    percent.textContent = share(probability);
    button.append(word, bar, percent);
    if (this.onPick) {
      button.type = "button";
      button.disabled = token in SPECIAL && token !== "<eos>";
      button.addEventListener("click", () => this.onPick(token === "<eos>" ? "\n" : token));
    }
    item.append(button);
    return item;
  }
}

// Spaces and line ends as signs one can see; a word's own leading space says nothing here.
export function visible(token) {
  if (token in SPECIAL) return SPECIAL[token];
  if (token === "\n") return "⏎ new line";
  if (token === "\t") return "⇥ tab";
  if (token.trim() === "") return token.replaceAll(" ", "␣").replaceAll("\n", "⏎") || "(nothing)";
  return token.replace(/^ /, "");
}
