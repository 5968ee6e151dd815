// A number as a colour: the colours themselves are the style sheet's.

// Paints an element by a value from -most to most.
export function heat(element, value, most = 1) {
  const strength = Math.min(1, Math.abs(value) / (most || 1));
  element.style.setProperty("--heat", `${(strength * 100).toFixed(1)}%`);
  element.classList.toggle("below", value < 0);
  element.classList.add("heat");
}

// The same as [red, green, blue], for a canvas; asks the style sheet for its colours.
export function palette(place) {
  const probe = document.createElement("i");
  place.after(probe);
  const colour = (name) => {
    probe.style.color = `var(${name})`;
    return getComputedStyle(probe).color.match(/[\d.]+/g).slice(0, 3).map(Number);
  };
  const [none, above, below] = ["--heat-none", "--heat-above", "--heat-below"].map(colour);
  probe.remove();
  return (value, most = 1) => {
    const strength = Math.min(1, Math.abs(value) / (most || 1));
    const end = value < 0 ? below : above;
    return none.map((from, at) => from + (end[at] - from) * strength);
  };
}

export function signed(value, digits = 2) {
  return value.toFixed(digits).replace("-", "−");
}

export function largest(rows) {
  return Math.max(1, ...rows.flat().map(Math.abs));
}
