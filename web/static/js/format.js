// Numbers and words for people. The same rules as web/pages/wording.py, so that a page looks the
// same before and after its first live update.

export function integer(value) {
  if (typeof value !== "number") return "–";
  return Math.round(value).toLocaleString("en-US");
}

export function loss(value) {
  return typeof value === "number" && Number.isFinite(value) ? value.toFixed(3) : "–";
}

export function perplexity(nats) {
  if (typeof nats !== "number" || !Number.isFinite(nats)) return "–";
  const value = Math.exp(nats);
  return value >= 1000 ? integer(value) : value.toFixed(value < 100 ? 2 : 1);
}

export function speed(tokensPerSecond) {
  return typeof tokensPerSecond === "number" ? integer(tokensPerSecond) : "–";
}

export function duration(seconds) {
  if (typeof seconds !== "number" || !Number.isFinite(seconds)) return "–";
  if (seconds < 1) return "under 1 s";
  if (seconds < 60) return `${Math.round(seconds)} s`;
  const minutes = Math.round(seconds / 60);
  if (minutes < 60) return `${minutes} min`;
  const hours = Math.floor(minutes / 60);
  if (hours < 48) return `${hours} h ${minutes % 60} min`;
  return `${Math.round(hours / 24)} days`;
}

export function share(probability) {
  const percent = probability * 100;
  if (percent >= 99.95) return "100 %";
  return percent < 0.1 ? "< 0.1 %" : `${percent.toFixed(1)} %`;
}

export function bytes(count) {
  if (typeof count !== "number") return "–";
  if (count < 1024) return `${count} bytes`;
  const units = ["KiB", "MiB", "GiB"];
  let value = count;
  let unit = "";
  for (unit of units) {
    value /= 1024;
    if (value < 1024) break;
  }
  return `${value.toFixed(1)} ${unit}`;
}
