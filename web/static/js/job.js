// One job, live: what the server already drew is kept up to date by the job's events.
import { Curve } from "./curve.js";
import { duration, integer, loss, perplexity, speed } from "./format.js";
import { refreshRegions } from "./regions.js";

const live = JSON.parse(document.querySelector("#live").textContent);
const address = `/api/v1/jobs/${live.id}`;
const POLL_SECONDS = 2;
const SHOWN = 60;

const training = live.kind === "train";
const curve = training ? new Curve(document.querySelector("#curve"), live.curve) : null;
const losses = { train: null, validation: null };
let lastEvent = live.last_event;
let final = live.final;

const handlers = {
  state: (data) => onState(data.state),
  progress: (data) => showProgress(data),
  metrics: (data) => {
    showLosses(data);
    if (!curve || typeof data.step !== "number") return;
    curve.add([data.step, data.train_loss ?? null, data.validation_loss ?? null]);
    addRow("#losses", ["number", integer(data.step)], ["number", loss(data.train_loss)],
      ["number", loss(data.validation_loss)]);
  },
  sample: (data) => {
    const item = element("li");
    const quote = element("blockquote", data.text, "text");
    quote.dir = "auto";
    item.append(element("p", `step ${integer(data.step)}`, "when"), quote);
    putFirst("#written", item);
    document.querySelector("#written-none")?.setAttribute("hidden", "");
  },
  slice: (data, event) => addRow("#slices", ["number", integer(data.number)],
    ["", data.worker ?? ""], ["number", integer(data.to_step)], ["", duration(data.seconds)],
    ["", clock(event.at)]),
  log: (data, event) => {
    const item = element("li");
    item.append(element("time", clock(event.at)), ` ${data.message ?? ""}`);
    putFirst("#log", item);
    document.querySelector("#log-none")?.setAttribute("hidden", "");
  },
};

function receive(event) {
  if (typeof event.id === "number") {
    if (event.id <= lastEvent) return;
    lastEvent = event.id;
  }
  handlers[event.type]?.(event.data, event);
}

async function onState(state) {
  final = ["succeeded", "failed", "cancelled"].includes(state);
  try {
    await refreshRegions();
  } catch {
    setTimeout(onState, POLL_SECONDS * 1000, state);
    return;
  }
  document.querySelector("#said").textContent = document.querySelector("#sentence").textContent;
}

function showProgress(data) {
  const progress = data.progress ?? data;
  const bar = document.querySelector("#job-numbers progress");
  const sentence = document.querySelector("#sentence");
  if (!bar) return;
  if (progress.total_steps) bar.value = Math.min(1, progress.step / progress.total_steps);
  figure("step", integer(progress.step), progress.total_steps);
  figure("epoch", integer(progress.epoch), progress.total_epochs);
  figure("speed", speed(progress.tokens_per_second));
  figure("left", duration(progress.eta_seconds));
  if (progress.total_steps && document.querySelector(".badge.running")) {
    const left = progress.eta_seconds;
    sentence.textContent =
      `Step ${integer(progress.step)} of ${integer(progress.total_steps)}` +
      (typeof left === "number" ? `, about ${duration(left)} left.` : ".");
  }
  if (data.metrics) showLosses(data.metrics);
  const place = data.queue_position;
  if (place && document.querySelector(".badge.queued")) {
    sentence.textContent = place === 1 ? "It is next in line." : `It is number ${place} in line.`;
  }
}

function showLosses(metrics) {
  if (typeof metrics.train_loss === "number") losses.train = metrics.train_loss;
  if (typeof metrics.validation_loss === "number") losses.validation = metrics.validation_loss;
  if (losses.train !== null) figure("train", loss(losses.train));
  if (losses.validation !== null) figure("validation", loss(losses.validation));
  figure("perplexity", perplexity(losses.validation ?? losses.train));
}

function figure(name, words, total) {
  const place = document.querySelector(`[data-figure="${name}"]`);
  if (place) place.textContent = words;
  if (total) document.querySelector(`[data-note="${name}"]`).textContent = `of ${integer(total)}`;
}

function clock(at) {
  return new Date(at).toLocaleTimeString([], { timeStyle: "medium" });
}

function element(tag, words = "", className = "") {
  const made = document.createElement(tag);
  made.textContent = words;
  if (className) made.className = className;
  return made;
}

function addRow(selector, ...cells) {
  const row = element("tr");
  row.append(...cells.map(([className, words]) => element("td", words, className)));
  putFirst(selector, row, Infinity);
}

function putFirst(selector, item, most = SHOWN) {
  const list = document.querySelector(selector);
  if (!list) return;
  list.prepend(item);
  while (list.children.length > most) list.lastElementChild.remove();
}

// -- the connection: events as they come; asking again and again where that does not work ---------

function listen() {
  const source = new EventSource(`${address}/events?after=${lastEvent}`);
  source.onmessage = (message) => {
    receive(JSON.parse(message.data));
    if (final) source.close();
  };
  source.onerror = () => {
    // While it is only CONNECTING the browser tries again by itself, from the last event on.
    if (source.readyState === EventSource.CLOSED && !final) poll();
  };
}

async function poll() {
  try {
    const response = await fetch(`${address}/events?after=${lastEvent}`);
    if (response.ok) for (const event of (await response.json()).data) receive(event);
    if (!final) {
      const job = await fetch(address);
      if (job.ok) showProgress(await job.json());
    }
  } catch {
    // Not reachable now: the next round asks again.
  }
  if (!final) setTimeout(poll, POLL_SECONDS * 1000);
}

if (!final) {
  if ("EventSource" in window) listen();
  else poll();
}
