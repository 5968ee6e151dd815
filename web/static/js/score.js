// How surprised the model is by each token of a text.
import { share } from "./format.js";
import { ofModel, post } from "./problem.js";
import { word } from "./spelling.js";
import { TokenText, tableWhenOpened } from "./tokentext.js";

// Nats from which a token counts as a little more of a surprise.
const LEVELS = [0.5, 1.5, 3, 5, 8];

const byId = (id) => document.getElementById(id);

export function listenToScore(root, live) {
  let told = null;
  let asking = null;
  const list = byId("score-tokens");
  const text = new TokenText(list, (at) => look(told.tokens[at]));

  byId("score").addEventListener("submit", async (event) => {
    event.preventDefault();
    asking?.abort();
    const mine = (asking = new AbortController());
    byId("score-note").textContent = "Reading …";
    try {
      const body = { text: byId("score-text").value };
      const response = await post(`${root}/score`, body, mine.signal, { Prefer: "wait=30" });
      told = await response.json();
    } catch (error) {
      if (error.name !== "AbortError") byId("score-note").textContent = ofModel(error);
      return;
    }
    show(told);
  });

  function show({ tokens, perplexity, unknown_tokens: unknown, logprob }) {
    const nats = (at) => -tokens[at].logprob;
    byId("scored").hidden = false;
    text.show(tokens.map(({ token }) => token), {
      spaced: live.joiner !== "",
      says: (at) => `surprise ${nats(at).toFixed(2)} nats`,
      paint: (item, at) => (item.dataset.surprise = LEVELS.filter((from) => nats(at) >= from).length),
    });
    const mean = -logprob / tokens.length;
    byId("score-perplexity").textContent = round(perplexity ?? Infinity);
    byId("score-mean").textContent = `${mean.toFixed(2)} nats`;
    byId("score-count").textContent = tokens.length.toLocaleString("en-US");
    byId("score-note").textContent = unknown.length
      ? `It has never seen: ${unknown.slice(0, 12).join(", ")}${unknown.length > 12 ? " …" : ""}.`
      : "";
    byId("score-look").textContent = "Point at a word, or move through the text with the arrow keys.";
    const columns = ["Token", "Surprise (nats)", "Chance", "Expected instead"];
    tableWhenOpened(byId("score-table"), columns, () => tokens.map((each) => [
      word(each.token), (-each.logprob).toFixed(2), share(Math.exp(each.logprob)),
      each.expected === each.token ? "–" : word(each.expected),
    ]));
  }

  function look({ token, logprob, expected, expected_logprob: best }) {
    const first = expected === token
      ? "It expected just this. "
      : "";
    byId("score-look").replaceChildren(
      word(token), `: surprise ${(-logprob).toFixed(2)} nats, a chance of ${share(Math.exp(logprob))}. `,
      first,
      ...(first ? [] : ["It expected ", word(expected), ` (${share(Math.exp(best))}).`]),
    );
  }
}

function round(perplexity) {
  if (!Number.isFinite(perplexity)) return "–";
  return perplexity >= 100 ? Math.round(perplexity).toLocaleString("en-US") : perplexity.toFixed(1);
}

