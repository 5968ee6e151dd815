// A text as tokens that can be looked at one by one: by pointer, by finger, by arrow keys.
import { inText, node, visible } from "./spelling.js";

let made = 0;

export class TokenText {
  // look(at) is called with the place of the token that is looked at
  constructor(list, look) {
    this.list = list;
    this.look = look;
    this.at = -1;
    this.name = `token-${(made += 1)}`;
    list.addEventListener("keydown", (event) => this.key(event));
    list.addEventListener("pointerover", (event) => this.pointed(event));
    list.addEventListener("click", (event) => this.pointed(event));
    list.addEventListener("focus", () => this.select(Math.max(this.at, 0)));
  }

  // tokens: [text, …]; says(at): what is told of one to those who do not see it;
  // paint(element, at): how it looks
  show(tokens, { says, paint, spaced = false }) {
    this.at = -1;
    this.paint = paint;
    this.items = tokens.map((token, at) => {
      const item = node("span", "", inText(token));
      item.id = `${this.name}-${at}`;
      item.setAttribute("role", "option");
      item.setAttribute("aria-selected", "false");
      item.setAttribute("aria-label", `${visible(token)}, ${says(at)}`);
      paint(item, at);
      return item;
    });
    this.list.classList.toggle("spaced", spaced);
    this.list.removeAttribute("aria-activedescendant");
    this.list.replaceChildren(...this.items);
  }

  select(at) {
    const item = this.items?.[at];
    if (!item || at === this.at) return;
    this.items[this.at]?.setAttribute("aria-selected", "false");
    item.setAttribute("aria-selected", "true");
    this.list.setAttribute("aria-activedescendant", item.id);
    this.at = at;
    this.look(at);
  }

  pointed(event) {
    const item = event.target.closest("[role=option]");
    if (item && this.list.contains(item)) this.select(this.items.indexOf(item));
  }

  key(event) {
    const last = this.items.length - 1;
    const to = {
      ArrowRight: this.at + 1, ArrowDown: this.at + 1, ArrowLeft: this.at - 1,
      ArrowUp: this.at - 1, Home: 0, End: last,
    }[event.key];
    if (to === undefined) return;
    event.preventDefault();
    this.select(Math.min(Math.max(to, 0), last));
    this.items[this.at].scrollIntoView({ block: "nearest" });
  }
}

// A table that says the same, made when somebody opens it.
export function tableWhenOpened(details, columns, rows) {
  const fill = () => {
    if (!details.open) return;
    const head = node("tr", "", ...columns.map((words, at) => {
      const cell = node("th", at ? "number" : "", words);
      cell.scope = "col";
      return cell;
    }));
    const body = rows().map((cells) =>
      node("tr", "", ...cells.map((cell, at) => node("td", at ? "number" : "", cell))));
    const table = node("table", "", node("thead", "", head), node("tbody", "", ...body));
    const scroll = node("div", "scroll", table);
    scroll.tabIndex = 0;
    scroll.setAttribute("role", "region");
    scroll.setAttribute("aria-label", details.querySelector("summary").textContent);
    details.querySelector(".scroll")?.remove();
    details.append(scroll);
  };
  details.ontoggle = fill;
  fill();
}
