// The chances of the next token under the settings of a prediction, as the server works them out
// (lstmcore/filters.py): repetition penalty, temperature, top-k, top-p, in this order. From what
// `/next` tells: the likeliest tokens one by one, all others as counts of nearly equal logits.

// -> { raw, share } for each of outlook.candidates, in their order: the chance before any setting
// and the one the settings make of it (0: left out).
export function chances(outlook, { temperature, top_k, top_p, repetition_penalty }) {
  const listed = outlook.candidates;
  const raw = normal([...listed, ...outlook.others].map(single));
  let all = [
    ...listed.map((one, at) => ({ at, count: 1, logit: penalised(one, repetition_penalty) })),
    ...outlook.others.map(({ logit, count }) => ({ at: -1, count, logit })),
  ];
  all.sort((a, b) => b.logit - a.logit);
  all = temperature === 0 ? [all[0]] : cooled(all, temperature);
  if (top_k > 0) all = first(all, top_k);
  if (top_p < 1) all = nucleus(normal(all), top_p);
  const shares = new Map(normal(all).map((one) => [one.at, one.share]));
  return listed.map((_, at) => ({ raw: raw[at].share, share: shares.get(at) ?? 0 }));
}

function single({ logit, count = 1 }) {
  return { logit, count };
}

function penalised({ logit, seen }, penalty) {
  if (!seen || penalty === 1) return logit;
  return logit > 0 ? logit / penalty : logit * penalty;
}

function cooled(all, temperature) {
  const coldest = Math.max(temperature, 1e-6);
  return all.map((one) => ({ ...one, logit: (one.logit - all[0].logit) / coldest }));
}

// The `most` likeliest tokens; of a range, some.
function first(all, most) {
  const kept = [];
  for (const one of all) {
    if (most <= 0) break;
    kept.push({ ...one, count: Math.min(one.count, most) });
    most -= one.count;
  }
  return kept;
}

// The fewest of the likeliest tokens that reach the share `p`.
function nucleus(all, p) {
  const kept = [];
  let sum = 0;
  for (const one of all) {
    if (sum >= p && kept.length) break;
    const each = one.share / one.count;
    const needed = each > 0 ? Math.ceil((p - sum) / each) : one.count;
    kept.push({ ...one, count: Math.max(1, Math.min(one.count, needed)) });
    sum += one.share;
  }
  return kept;
}

// `share`: of all tokens of the entry together; they add up to 1.
function normal(all) {
  const highest = Math.max(...all.map((one) => one.logit));
  const weights = all.map((one) => one.count * Math.exp(one.logit - highest));
  const sum = weights.reduce((a, b) => a + b, 0);
  return all.map((one, at) => ({ ...one, share: weights[at] / sum }));
}
