// How tokens are shown to people: what has no ink gets a sign.

export const SPECIAL = { "<eos>": "end of line", "<sep>": "answer begins", "<unk>": "unknown word" };

// On its own: a word's own leading space says nothing.
export function visible(token) {
  if (token in SPECIAL) return SPECIAL[token];
  if (token === "\n") return "⏎ new line";
  if (token === "\t") return "⇥ tab";
  if (token.trim() === "") return token.replaceAll(" ", "␣").replaceAll("\n", "⏎") || "(nothing)";
  return token.replace(/^ /, "");
}

// Within a text: spaces and line ends do what they do, and line ends can be seen.
export function inText(token) {
  if (token in SPECIAL) return token === "<eos>" ? "⏎\n" : `‹${SPECIAL[token]}›`;
  return token.replaceAll("\n", "⏎\n");
}

export function node(tag, className, ...content) {
  const made = document.createElement(tag);
  if (className) made.className = className;
  made.append(...content);
  return made;
}

// A word of somebody's text, whatever its direction.
export function word(token) {
  const made = node("bdi", token in SPECIAL ? "special" : "token", visible(token));
  made.dir = "auto";
  return made;
}
