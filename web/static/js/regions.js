// Fresh server-rendered regions without a reload: the page (or a smaller piece of it) is fetched again
// and every element marked data-live takes the content of its twin. One renderer (the templates), no
// second copy here. What the person has done in a region stays: focus, ticks, open folds, scrolling.

let running = null; // the refresh on its way
let again = false; // something happened since it was sent

// One at a time, so that an older answer never replaces a newer one.
export function refreshRegions(address = location.href) {
  again = running !== null;
  running ??= refresh(address).finally(() => {
    running = null;
    return again ? refreshRegions(address) : undefined;
  });
  return running;
}

async function refresh(address) {
  const response = await fetch(address, { headers: { Accept: "text/html" } });
  if (!response.ok) throw new Error(`status ${response.status}`);
  if (response.redirected) throw new Error("signed out"); // another page: nothing of ours is in it
  const fresh = new DOMParser().parseFromString(await response.text(), "text/html");
  for (const region of document.querySelectorAll("[data-live]")) {
    const twin = fresh.getElementById(region.id);
    if (twin && twin.innerHTML !== shown.get(region)) replace(region, twin);
  }
}

// What a region was given: its innerHTML changes with every tick and open fold.
const shown = new WeakMap();
for (const region of document.querySelectorAll("[data-live]")) shown.set(region, region.innerHTML);

function replace(region, twin) {
  const active = region.contains(document.activeElement) ? document.activeElement : null;
  const [focused, place] = [active && mark(active), active?.id];
  const ticked = [...region.querySelectorAll("input:checked")].map((input) => input.value);
  const open = [...region.querySelectorAll("details[open][id]")].map((fold) => fold.id);
  const scrolled = [...region.querySelectorAll("[data-keeps-scroll]")].map((e) => e.scrollTop);
  shown.set(region, twin.innerHTML);
  region.replaceChildren(...twin.childNodes);
  for (const input of region.querySelectorAll("input[type=checkbox]")) {
    input.checked = ticked.includes(input.value);
  }
  for (const id of open) document.getElementById(id)?.setAttribute("open", "");
  region.querySelectorAll("[data-keeps-scroll]").forEach((e, i) => (e.scrollTop = scrolled[i] ?? 0));
  if (active) {
    const same = (place && document.getElementById(place)) ||
      [...region.querySelectorAll("a, button, summary, input")].find((el) => mark(el) === focused);
    same?.focus({ preventScroll: true });
  }
  region.dispatchEvent(new Event("refreshed", { bubbles: true }));
}

function mark(element) {
  return [element.tagName, element.getAttribute("href"), element.getAttribute("value"),
    element.textContent.trim()].join("|");
}

// Refreshes every `seconds` while the page can be seen, one request at a time.
export function keepFresh(seconds) {
  const tick = async () => {
    if (!document.hidden) await refreshRegions().catch(() => {});
    setTimeout(tick, seconds * 1000);
  };
  setTimeout(tick, seconds * 1000);
}
