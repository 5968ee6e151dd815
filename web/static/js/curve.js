// The loss curve: training and held-out loss over the steps, drawn with uPlot.
/* global uPlot */
import { integer, loss } from "./format.js";

const HEIGHT = 300;

export class Curve {
  // points: [[step, trainLoss or null, validationLoss or null], …], oldest first
  constructor(root, points) {
    this.root = root;
    this.plot = root.querySelector(".plot");
    this.blank = root.querySelector(".blank");
    this.columns = [[], [], []];
    for (const point of points) this.push(point);
    this.chart = null;
    this.draw();
    new ResizeObserver(() => this.resize()).observe(this.plot);
    matchMedia("(prefers-color-scheme: dark)").addEventListener("change", () => this.redraw());
  }

  push([step, train, validation]) {
    const [steps, trains, validations] = this.columns;
    const last = steps.length - 1;
    if (last >= 0 && step < steps[last]) return;
    if (last >= 0 && step === steps[last]) {
      trains[last] = train ?? trains[last];
      validations[last] = validation ?? validations[last];
      return;
    }
    steps.push(step);
    trains.push(train ?? null);
    validations.push(validation ?? null);
  }

  add(point) {
    this.push(point);
    this.draw();
  }

  draw() {
    const steps = this.columns[0];
    this.blank.hidden = steps.length > 0;
    if (!steps.length) return;
    const data = this.data();
    if (this.chart && this.chart.series.length !== data.length) this.chart.destroy();
    else if (this.chart) this.chart.setData(data);
    if (this.chart?.series.length !== data.length) {
      this.chart = new uPlot(this.options(data.length), data, this.plot);
    }
    this.showNewest(this.chart);
    const last = steps.length - 1;
    const held = this.columns[2][last];
    this.plot.setAttribute(
      "aria-label",
      `Loss curve, ${steps.length} points. At step ${integer(steps[last])} the training loss is ` +
        `${loss(this.columns[1][last])}` +
        (held === null ? "." : ` and the loss on held-out text ${loss(held)}.`),
    );
  }

  // Without held-out text there is one line only.
  data() {
    const held = this.columns[2].some((value) => value !== null);
    return held ? this.columns : this.columns.slice(0, 2);
  }

  showNewest(chart) {
    const hovers = chart.cursor.idx !== null && chart.cursor.left >= 0;
    if (!hovers) chart.setLegend({ idx: this.columns[0].length - 1 }, false);
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

  options(columns) {
    const style = getComputedStyle(document.documentElement);
    const colour = (name) => style.getPropertyValue(name).trim();
    const axis = {
      stroke: colour("--soft"),
      grid: { stroke: colour("--rule"), width: 1 },
      ticks: { stroke: colour("--rule"), width: 1 },
      font: "12px system-ui, sans-serif",
      labelFont: "12px system-ui, sans-serif",
    };
    const line = (label, stroke, dash) => ({
      label, stroke, dash, width: 2, spanGaps: true,
      points: { show: this.columns[0].length < 25 },
      value: (chart, value) => (value === null || value === undefined ? "–" : loss(value)),
    });
    const integers = (chart, values) => values.map((value) => (value % 1 ? "" : integer(value)));
    return {
      width: Math.max(200, this.plot.clientWidth),
      height: HEIGHT,
      scales: { x: { time: false } },
      cursor: { drag: { x: true, y: false } },
      // Without a pointer over it, the legend tells the newest values.
      hooks: { setCursor: [(chart) => this.showNewest(chart)] },
      axes: [
        { ...axis, label: "step", labelSize: 20, values: integers },
        { ...axis, label: "loss (nats a token)", labelSize: 20, size: 56 },
      ],
      series: [
        { label: "step", value: (chart, value) => (value === null ? "–" : integer(value)) },
        line("training", colour("--accent")),
        line("held out", colour("--amber"), [6, 4]),
      ].slice(0, columns),
    };
  }
}
