// Fresh server-rendered regions without a reload: the page is fetched again and every element
// marked data-live takes the content of its twin. One renderer (the templates), no second copy here.

let running = null; // the refresh on its way
let again = false; // something happened since it was sent

// One at a time, so that an older answer never replaces a newer one.
export function refreshRegions() {
  again = running !== null;
  running ??= refresh().finally(() => {
    running = null;
    return again ? refreshRegions() : undefined;
  });
  return running;
}

async function refresh() {
  const response = await fetch(location.href, { headers: { Accept: "text/html" } });
  if (!response.ok) throw new Error(`status ${response.status}`);
  const fresh = new DOMParser().parseFromString(await response.text(), "text/html");
  for (const region of document.querySelectorAll("[data-live]")) {
    const twin = fresh.getElementById(region.id);
    if (twin && twin.innerHTML !== region.innerHTML) replace(region, twin);
  }
}

function replace(region, twin) {
  const focused = region.contains(document.activeElement) ? mark(document.activeElement) : null;
  region.replaceChildren(...twin.childNodes);
  if (focused) [...region.querySelectorAll("a, button")].find((el) => mark(el) === focused)?.focus();
}

function mark(element) {
  return [element.tagName, element.getAttribute("href"), element.textContent.trim()].join("|");
}

// Refreshes every `seconds` while the page can be seen, one request at a time.
export function keepFresh(seconds) {
  const tick = async () => {
    if (!document.hidden) await refreshRegions().catch(() => {});
    setTimeout(tick, seconds * 1000);
  };
  setTimeout(tick, seconds * 1000);
}
