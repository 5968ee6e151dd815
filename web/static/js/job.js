// One job, live: what the server already drew is kept up to date by the job's events.
import { Curve, tools } from "./curve.js";
import { follow } from "./follow.js";
import { bytes, duration, integer, loss, perplexity, speed } from "./format.js";
import { refreshRegions } from "./regions.js";

const live = JSON.parse(document.querySelector("#live").textContent);
const address = `/api/v1/jobs/${live.id}`;
const RETRY_SECONDS = 2;
const SHOWN = 60;
const ROWS = 100;

const byId = (id) => document.getElementById(id);
const training = live.kind === "train";
const curve = training ? firstCurve() : null;
const losses = { train: null, validation: null };
const title = document.title;
let lastEvent = live.last_event;
let final = live.final;
let faults = live.faults;

function firstCurve() {
  const drawn = new Curve(byId("curve"), [
    { label: "training", colour: "--accent" },
    { label: "held out", colour: "--amber", dash: [6, 4] },
  ]);
  for (const [step, train, held] of live.curve) drawn.push(step, [train, held]);
  drawn.draw();
  tools(document, drawn, live.name);
  return drawn;
}

const handlers = {
  state: (data) => onState(data.state),
  progress: (data) => showProgress(data),
  metrics: (data) => {
    showLosses(data);
    if (!curve || typeof data.step !== "number") return;
    curve.add(data.step, [data.train_loss ?? null, data.validation_loss ?? null]);
    addRow("losses", ROWS, ["number", integer(data.step)], ["number", loss(data.train_loss)],
      ["number", loss(data.validation_loss)]);
  },
  sample: (data) => {
    const item = element("li");
    const quote = element("blockquote", data.text, "text");
    quote.dir = "auto";
    item.append(element("p", `step ${integer(data.step)}`, "when"), quote);
    putFirst("written", item, SHOWN);
    byId("written-none")?.setAttribute("hidden", "");
  },
  slice: (data) => {
    addRow("slices", SHOWN, ["number slim", integer(data.number)], ["whole", data.worker ?? ""],
      ["number", integer(data.to_step)], ["number", duration(data.seconds)],
      ["number", bytes(data.memory_bytes)], ["number", processor(data)]);
    live.used.seconds += data.seconds ?? 0;
    live.used.processor += data.processor_seconds ?? 0;
    live.used.memory = Math.max(live.used.memory, data.memory_bytes ?? 0);
    say("used-seconds", duration(live.used.seconds));
    say("used-memory", bytes(live.used.memory || null));
    say("used-processor", duration(live.used.processor || null));
    say("used-steps", integer(data.to_step));
  },
  log: (data, event) => {
    if (data.estimate) return;
    const item = element("li", "", data.level ?? "");
    item.append(element("time", clock(event.at)), ` ${data.message ?? ""}`);
    putFirst("log", item, SHOWN);
    byId("log-none").hidden = true;
    if (data.level !== "warning" || !byId("faults")) return;
    faults += 1;
    byId("faults").hidden = false;
    say("faults-count", faults === 1 ? "Once" : `${faults} times`);
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
    await refreshRegions(live.parts);
  } catch {
    setTimeout(onState, RETRY_SECONDS * 1000, state);
    return;
  }
  say("said", byId("sentence").textContent);
  const badge = document.querySelector(".badge").textContent;
  document.title = final ? `${badge} · ${title}` : title;
}

function showProgress(data) {
  const progress = data.progress ?? data;
  const bar = document.querySelector("#job-numbers progress, #job-answers progress");
  const running = document.querySelector(".badge.running");
  if (!bar) return;
  if (progress.total_steps) bar.value = Math.min(1, progress.step / progress.total_steps);
  figure("step", integer(progress.step), progress.total_steps);
  figure("epoch", integer(progress.epoch), progress.total_epochs);
  figure("speed", speed(progress.tokens_per_second));
  figure("left", duration(final ? null : progress.eta_seconds));
  if (training && progress.total_steps && running) {
    const left = progress.eta_seconds;
    say("sentence", `Step ${integer(progress.step)} of ${integer(progress.total_steps)}` +
      (typeof left === "number" ? `, about ${duration(left)} left.` : "."));
    document.title = `${Math.floor(100 * bar.value)} % · ${title}`;
  }
  if (data.metrics) showLosses(data.metrics);
  const place = data.queue_position;
  if (place && document.querySelector(".badge.queued")) {
    say("sentence", place === 1 ? "It is next in line." : `It is number ${place} in line.`);
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
  if (place && place.textContent !== words) place.textContent = words;
  if (!place || !total) return;
  document.querySelector(`[data-note="${name}"]`).textContent = `of ${integer(total)}`;
}

function processor({ processor_seconds: used, seconds }) {
  return used && seconds ? `${Math.round((100 * used) / seconds)} %` : "–";
}

function say(id, words) {
  const place = byId(id);
  if (place && place.textContent !== words) place.textContent = words;
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

function addRow(id, most, ...cells) {
  const row = element("tr");
  row.append(...cells.map(([className, words]) => element("td", words, className)));
  putFirst(id, row, most);
}

function putFirst(id, item, most) {
  const list = byId(id);
  if (!list) return;
  list.prepend(item);
  while (list.children.length > most) list.lastElementChild.remove();
}

// -- the connection -------------------------------------------------------------------------------

async function poll() {
  const response = await fetch(`${address}/events?after=${lastEvent}`);
  if (!response.ok) throw new Error(`status ${response.status}`);
  for (const event of (await response.json()).data) receive(event);
  if (final) return;
  const job = await fetch(address);
  if (job.ok) showProgress(await job.json());
}

function line(on) {
  const place = byId("line");
  place.className = on === null ? "line" : `line ${on ? "on" : "off"}`;
  say("line", on === null ? "" : on ? "live" : "The connection was lost. Trying again …");
}

if (!final) {
  follow({
    address: () => `${address}/events?after=${lastEvent}`,
    receive, poll, line, done: () => final,
  });
}
