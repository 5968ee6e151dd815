// Words that are alike to the model: their vectors point the same way.
import { ofModel, ask } from "./problem.js";
import { node, visible } from "./spelling.js";

const byId = (id) => document.getElementById(id);

export function listenToNearest(root) {
  let asking = null;

  byId("nearest").addEventListener("submit", (event) => {
    event.preventDefault();
    find(byId("nearest-word").value);
  });

  async function find(token) {
    asking?.abort();
    const mine = (asking = new AbortController());
    const query = new URLSearchParams({ token, count: "8" });
    try {
      const response = await ask(`${root}/nearest?${query}`, {
        signal: mine.signal, headers: { Prefer: "wait=15" },
      });
      const told = await response.json();
      byId("nearest-list").replaceChildren(...told.nearest.map(item));
      byId("nearest-note").textContent = "Pick one to go on to its neighbours.";
    } catch (error) {
      if (error.name === "AbortError") return;
      byId("nearest-list").replaceChildren();
      byId("nearest-note").textContent = ofModel(error);
    }
  }

  function item({ token, similarity }) {
    const name = node("span", "word", visible(token));
    name.dir = "auto";
    const fill = node("span", "fill");
    fill.style.inlineSize = `${Math.max(0, similarity) * 100}%`;
    const track = node("span", "track", fill);
    track.setAttribute("aria-hidden", "true");
    const bar = node("button", "bar", name, track, node("span", "share", similarity.toFixed(2)));
    bar.type = "button";
    bar.addEventListener("click", () => {
      byId("nearest-word").value = token.replace(/^ (?=.)/, "");
      find(token);
    });
    return node("li", "", bar);
  }
}
