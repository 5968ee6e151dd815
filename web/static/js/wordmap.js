// Word vectors in a plane: one can zoom, move, find a word and see which are nearest to it.
import { share } from "./format.js";
import { ofModel, ask } from "./problem.js";
import { visible, word } from "./spelling.js";
import { tableWhenOpened } from "./tokentext.js";

const SVG = "http://www.w3.org/2000/svg";
const MARGIN = 40;
const MOST_ZOOM = 40;
const LABEL = { height: 16, letter: 7.4 }; // pixels a label takes, to keep them apart
const PATIENCE = { headers: { Prefer: "wait=20" } };

const byId = (id) => document.getElementById(id);

export class WordMap {
  constructor(root) {
    this.root = root;
    this.svg = byId("map");
    this.view = { zoom: 1, x: 0, y: 0 }; // centre in the unit square
    this.asking = null;
    this.chosen = null;
    this.near = new Set();
    this.listen();
  }

  async load() {
    try {
      const told = await (await ask(`${this.root}/map?count=300`, PATIENCE)).json();
      this.show(told);
    } catch (error) {
      byId("map-look").textContent = ofModel(error);
    }
  }

  show({ points, shares, dimensions, vocabulary }) {
    const [x, y] = ["x", "y"].map((key) => fitted(points.map((point) => point[key])));
    this.points = points.map((point) => this.mark(point, x(point.x), -y(point.y)));
    this.svg.replaceChildren(...this.points.map(({ dot }) => dot), ...this.points.map(({ label }) => label));
    byId("map-list").replaceChildren(...points.map(({ token }) => new Option(visible(token))));
    const those = points.length < vocabulary ? `The ${points.length} tokens it expects most, of ${vocabulary.toLocaleString("en-US")}. ` : "";
    document.querySelector("[data-say=map-words]").textContent =
      `${those}It keeps ${share(shares.reduce((a, b) => a + b, 0))} of the differences in ${dimensions} directions, stretched to fill the picture.`;
    tableWhenOpened(byId("map-table"), ["Token", "Across", "Up"], () =>
      points.map((point) => [word(point.token), point.x.toFixed(2), point.y.toFixed(2)]));
    this.draw();
  }

  mark(point, x, y) {
    const dot = document.createElementNS(SVG, "circle");
    dot.setAttribute("r", "4");
    const label = document.createElementNS(SVG, "text");
    label.textContent = visible(point.token);
    const made = { token: point.token, x, y, dot, label };
    for (const part of [dot, label]) {
      part.addEventListener("pointerenter", () => this.choose(made));
      part.addEventListener("click", () => this.choose(made));
    }
    return made;
  }

  // Places dots, then as many labels as fit beside each other.
  draw() {
    if (!this.points) return;
    const { width, height } = this.svg.getBoundingClientRect();
    if (!width) return;
    const [across, up] = [width, height].map((size) => (size / 2 - MARGIN) * this.view.zoom);
    const taken = [];
    const first = (point) => (point === this.chosen ? 2 : this.near.has(point) ? 1 : 0);
    for (const point of [...this.points].sort((a, b) => first(b) - first(a))) {
      const x = width / 2 + (point.x - this.view.x) * across;
      const y = height / 2 + (point.y - this.view.y) * up;
      const inside = x > 0 && x < width && y > 0 && y < height;
      point.dot.setAttribute("cx", x);
      point.dot.setAttribute("cy", y);
      point.dot.classList.toggle("chosen", point === this.chosen);
      point.dot.classList.toggle("near", this.near.has(point));
      const size = point.label.textContent.length * LABEL.letter;
      const left = x + 7 + size > width;
      const box = [left ? x - 7 - size : x + 7, y - LABEL.height / 2, size, LABEL.height];
      const free = inside && (first(point) > 0 || !taken.some((other) => overlap(box, other)));
      point.dot.classList.toggle("gone", !inside);
      point.label.classList.toggle("gone", !free);
      point.label.classList.toggle("strong", first(point) > 0);
      if (!free) continue;
      taken.push(box);
      point.label.setAttribute("x", left ? x - 7 : x + 7);
      point.label.setAttribute("y", y + 4);
      point.label.setAttribute("text-anchor", left ? "end" : "start");
    }
  }

  async choose(point) {
    if (point === this.chosen) return;
    this.chosen = point;
    this.near = new Set();
    this.draw();
    this.asking?.abort();
    const mine = (this.asking = new AbortController());
    await new Promise((rested) => setTimeout(rested, 150)); // a pointer passes many words
    if (mine.signal.aborted) return;
    const query = new URLSearchParams({ token: point.token, count: "6" });
    try {
      const response = await ask(`${this.root}/nearest?${query}`, { ...PATIENCE, signal: mine.signal });
      this.found(point, (await response.json()).nearest);
    } catch (error) {
      if (error.name !== "AbortError") byId("map-look").replaceChildren(word(point.token), `: ${ofModel(error)}`);
    }
  }

  found(point, nearest) {
    this.near = new Set(this.points.filter(({ token }) => nearest.some((each) => each.token === token)));
    byId("map-look").replaceChildren("Nearest to ", word(point.token), " in all directions: ",
      ...nearest.flatMap(({ token, similarity }, at) =>
        [at ? ", " : "", word(token), ` ${similarity.toFixed(2)}`]), ".");
    this.draw();
  }

  zoom(by, at = null) {
    const before = this.view.zoom;
    const zoom = Math.min(Math.max(before * by, 1), MOST_ZOOM);
    const pull = 1 - before / zoom;
    if (at) {
      this.view.x += (at.x - this.view.x) * pull;
      this.view.y += (at.y - this.view.y) * pull;
    }
    this.view.zoom = zoom;
    if (zoom === 1) Object.assign(this.view, { x: 0, y: 0 });
    this.draw();
  }

  move(x, y) {
    if (this.view.zoom === 1) return;
    this.view.x = Math.min(Math.max(this.view.x + x / this.view.zoom, -1), 1);
    this.view.y = Math.min(Math.max(this.view.y + y / this.view.zoom, -1), 1);
    this.draw();
  }

  listen() {
    byId("zoom-in").addEventListener("click", () => this.zoom(1.6, this.chosen));
    byId("zoom-out").addEventListener("click", () => this.zoom(1 / 1.6));
    byId("zoom-all").addEventListener("click", () => this.zoom(0));
    byId("find-word").addEventListener("submit", (event) => {
      event.preventDefault();
      this.find(byId("map-word").value.trim().toLowerCase());
    });
    this.svg.addEventListener("keydown", (event) => {
      const act = {
        "+": () => this.zoom(1.6, this.chosen), "=": () => this.zoom(1.6, this.chosen),
        "-": () => this.zoom(1 / 1.6), ArrowLeft: () => this.move(-0.2, 0),
        ArrowRight: () => this.move(0.2, 0), ArrowUp: () => this.move(0, -0.2),
        ArrowDown: () => this.move(0, 0.2),
      }[event.key];
      if (!act) return;
      event.preventDefault();
      act();
    });
    let from = null;
    this.svg.addEventListener("pointerdown", (event) => (from = event));
    addEventListener("pointerup", () => (from = null));
    this.svg.addEventListener("pointermove", (event) => {
      if (!from || this.view.zoom === 1) return;
      const { width } = this.svg.getBoundingClientRect();
      this.move(((from.clientX - event.clientX) * 2) / width, ((from.clientY - event.clientY) * 2) / width);
      from = event;
    });
    new ResizeObserver(() => this.draw()).observe(this.svg);
  }

  find(wanted) {
    const found = this.points?.find(({ token }) => visible(token).toLowerCase() === wanted);
    if (!found) {
      byId("map-look").textContent = "This word is not on the map.";
      return;
    }
    this.choose(found);
    Object.assign(this.view, { x: found.x, y: found.y, zoom: Math.max(this.view.zoom, 3) });
    this.draw();
  }
}

// From values to places between -1 and 1.
function fitted(values) {
  const [low, high] = [Math.min(...values), Math.max(...values)];
  return (value) => (high > low ? ((value - low) / (high - low)) * 2 - 1 : 0);
}

function overlap([x, y, width, height], [left, top, wide, high]) {
  return x < left + wide && left < x + width && y < top + high && top < y + height;
}
