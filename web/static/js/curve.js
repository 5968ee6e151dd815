// Loss curves over the steps, drawn with uPlot: of one job (training and held out), or one line each
// of several. Values under the pointer, a linear or a logarithmic scale, a picture to keep.
/* global uPlot */
import { integer, loss, perplexity } from "./format.js";

const HEIGHT = 300;

export class Curve {
  // lines: [{label, colour: a custom property's name, dash?}, …]; main: the index of the line whose
  // newest value is told to those who do not see the picture
  constructor(root, lines, main = 0) {
    this.root = root;
    this.plot = root.querySelector(".plot");
    this.blank = root.querySelector(".blank");
    this.lines = lines;
    this.main = main;
    this.steps = [];
    this.values = lines.map(() => []);
    this.chart = null;
    this.scale = "linear";
    new ResizeObserver(() => this.resize()).observe(this.plot);
    matchMedia("(prefers-color-scheme: dark)").addEventListener("change", () => this.redraw());
  }

  // values: one for each line, null where nothing was measured
  push(step, values) {
    const last = this.steps.length - 1;
    if (last >= 0 && step < this.steps[last]) return;
    if (last >= 0 && step === this.steps[last]) {
      this.values.forEach((line, index) => (line[last] = values[index] ?? line[last]));
      return;
    }
    this.steps.push(step);
    this.values.forEach((line, index) => line.push(values[index] ?? null));
  }

  add(step, values) {
    this.push(step, values);
    this.draw();
  }

  setScale(scale) {
    this.scale = scale;
    this.redraw();
  }

  // Lines without any value are left out: without held-out text there is one line only.
  shown() {
    return this.lines
      .map((line, index) => ({ ...line, values: this.values[index] }))
      .filter(({ values }) => values.some((value) => value !== null));
  }

  draw() {
    const shown = this.shown();
    this.blank.hidden = shown.length > 0;
    if (!shown.length) return;
    const data = [this.steps, ...shown.map(({ values }) => values)];
    if (this.chart && this.chart.series.length === data.length) this.chart.setData(data);
    else {
      this.chart?.destroy();
      this.chart = new uPlot(this.options(shown), data, this.plot);
    }
    this.showNewest(this.chart);
    this.describe(shown);
  }

  before(values, at) {
    return values.slice(0, at + 1).findLast((value) => value !== null);
  }

  describe(shown) {
    const newest = shown.map(({ label, values }) => {
      const last = values.findLastIndex((value) => value !== null);
      return `${label} ${loss(values[last])} at step ${integer(this.steps[last])}`;
    });
    const points = integer(this.steps.length);
    this.plot.setAttribute("aria-label", `Loss curve, ${points} points. ${newest.join(", ")}.`);
  }

  showNewest(chart) {
    const hovers = chart.cursor.idx !== null && chart.cursor.left >= 0;
    if (!hovers) chart.setLegend({ idx: this.steps.length - 1 }, false);
  }

  redraw() {
    this.chart?.destroy();
    this.chart = null;
    this.draw();
  }

  resize() {
    const width = this.plot.clientWidth;
    if (this.chart && width > 0 && width !== this.chart.width) {
      this.chart.setSize({ width, height: HEIGHT });
    }
  }

  options(shown) {
    const axis = {
      stroke: colour("--soft"),
      grid: { stroke: colour("--rule"), width: 1 },
      ticks: { stroke: colour("--rule"), width: 1 },
      font: "12px system-ui, sans-serif",
      labelFont: "12px system-ui, sans-serif",
    };
    const integers = (chart, values) =>
      values.map((value) => (value === null || value % 1 ? "" : integer(value)));
    const losses = (chart, values) =>
      values.map((value) => (value === null ? "" : String(Number(value.toPrecision(3)))));
    const log = this.scale === "log";
    return {
      width: Math.max(200, this.plot.clientWidth),
      height: HEIGHT,
      scales: { x: { time: false }, y: log ? { distr: 3, log: 10 } : {} },
      cursor: { drag: { x: true, y: false } },
      // Without a pointer over it, the legend tells the newest values.
      hooks: { setCursor: [(chart) => this.showNewest(chart)] },
      axes: [
        { ...axis, label: "step", labelSize: 20, values: integers },
        { ...axis, label: "loss (nats a token)", labelSize: 20, size: 56, values: losses },
      ],
      series: [
        { label: "step", value: (chart, value) => (value === null ? "–" : integer(value)) },
        ...shown.map((line) => ({
          label: line.label,
          stroke: colour(line.colour),
          dash: line.dash,
          width: 2,
          spanGaps: true,
          points: { show: this.steps.length < 25 },
          // Curves of several jobs have their points at different steps: the last one seen counts.
          value: (chart, value, index, at) =>
            told(value ?? this.before(chart.data[index], at ?? this.steps.length - 1)),
        })),
      ],
    };
  }

  // The picture with its title and legend, as a PNG file.
  save(title) {
    if (!this.chart) return;
    const drawn = this.chart.ctx.canvas;
    const unit = drawn.width / this.chart.width;
    const [head, row] = [34 * unit, 22 * unit];
    const canvas = document.createElement("canvas");
    const shown = this.shown();
    canvas.width = drawn.width;
    canvas.height = drawn.height + head + row * shown.length + 10 * unit;
    const pen = canvas.getContext("2d");
    pen.fillStyle = colour("--sheet");
    pen.fillRect(0, 0, canvas.width, canvas.height);
    pen.drawImage(drawn, 0, head);
    pen.fillStyle = colour("--ink");
    pen.font = `600 ${15 * unit}px system-ui, sans-serif`;
    pen.fillText(title, 12 * unit, 23 * unit, canvas.width - 24 * unit);
    pen.font = `${12 * unit}px system-ui, sans-serif`;
    shown.forEach((line, index) => {
      const y = head + drawn.height + row * (index + 0.6);
      pen.fillStyle = colour(line.colour);
      pen.fillRect(12 * unit, y - 5 * unit, 18 * unit, 3 * unit);
      pen.fillStyle = colour("--ink");
      const last = line.values.findLast((value) => value !== null);
      pen.fillText(`${line.label}: ${told(last)}`, 38 * unit, y, canvas.width - 50 * unit);
    });
    canvas.toBlob((blob) => keep(blob, `${title}.png`));
  }
}

// Buttons that choose the scale or keep the picture.
export function tools(root, curve, title) {
  const scales = root.querySelectorAll("[data-scale]");
  for (const button of scales) {
    button.addEventListener("click", () => {
      scales.forEach((one) => one.setAttribute("aria-pressed", String(one === button)));
      curve.setScale(button.dataset.scale);
    });
  }
  root.querySelector("#save-png")?.addEventListener("click", () => curve.save(title));
}

function told(value) {
  return typeof value === "number" ? `${loss(value)} (perplexity ${perplexity(value)})` : "–";
}

function colour(name) {
  return getComputedStyle(document.documentElement).getPropertyValue(name).trim();
}

function keep(blob, name) {
  const link = document.createElement("a");
  link.href = URL.createObjectURL(blob);
  link.download = name;
  link.click();
  setTimeout(() => URL.revokeObjectURL(link.href), 10_000);
}
