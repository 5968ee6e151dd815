"""Which tokens may be drawn, and how likely each is: the settings of `Sampling` as arithmetic.

Scores are logits, (n, V), one row for each text; a token that is ruled out has the score -inf.
Every filter keeps the likeliest token, so there is always one to draw.
"""

import math

import torch
from torch import Tensor

from lstmcore.config import Sampling

COLDEST = 1e-6  # temperatures below this are taken for it: float32 ends soon after
LARGEST_SCORE = 1e30  # a tiny repetition penalty would make infinite scores


def distribution(scores: Tensor, sampling: Sampling) -> Tensor:
    """Probabilities (n, V) to draw from: temperature, then top-k, top-p and min-p, in this order.

    `sampling.temperature` is above 0. A filter sees the probabilities that those before it left.
    """
    if sampling.temperature != 1:
        scores = scores - scores.max(-1, keepdim=True).values  # so that nothing overflows
        scores = scores / max(sampling.temperature, COLDEST)
    if 0 < sampling.top_k < scores.shape[-1]:
        scores = keep_top_k(scores, sampling.top_k)
    if sampling.top_p < 1:
        scores = keep_top_p(scores, sampling.top_p)
    if sampling.min_p > 0:
        scores = keep_min_p(scores, sampling.min_p)
    return scores.softmax(-1)


def draw(shares: Tensor, points: Tensor) -> Tensor:
    """One token (n,) for each row of probabilities (n, V), by a random number in [0, 1) each (n,).

    The first token at which the sum of the probabilities exceeds its number.
    """
    sums = shares.double().cumsum(-1)  # (n, V); a token that is ruled out adds nothing
    return torch.searchsorted(sums, points[:, None] * sums[:, -1:], right=True)[:, 0]


def keep_top_k(scores: Tensor, k: int) -> Tensor:
    """Exactly the `k` likeliest tokens, even where the last of them has equals."""
    best = scores.topk(k)  # (n, k)
    return torch.full_like(scores, -math.inf).scatter(-1, best.indices, best.values)


def keep_top_p(scores: Tensor, p: float) -> Tensor:
    """The fewest of the likeliest tokens whose probabilities add up to `p` at least.

    Nucleus sampling: Holtzman et al. 2019, https://arxiv.org/abs/1904.09751.
    """
    ordered, order = scores.sort(dim=-1, descending=True, stable=True)
    shares = ordered.softmax(-1)
    # a token stays when those likelier than it do not reach the share yet
    dropped = shares.cumsum(-1) - shares >= p
    dropped[..., 0] = False
    return scores.scatter(-1, order, ordered.masked_fill(dropped, -math.inf))


def keep_min_p(scores: Tensor, p: float) -> Tensor:
    """The tokens at least `p` times as likely as the likeliest one.

    Nguyen et al. 2024, https://arxiv.org/abs/2407.01082.
    """
    best = scores.max(-1, keepdim=True).values  # (n, 1)
    return scores.masked_fill(scores < best + math.log(p), -math.inf)


def penalise(scores: Tensor, seen: Tensor, penalty: float) -> Tensor:
    """Make the tokens of `seen` (n, V) less likely: positive logits divided, others multiplied.

    Keskar et al. 2019, https://arxiv.org/abs/1909.05858, as later mended for negative logits.
    """
    weaker = torch.where(scores > 0, scores / penalty, scores * penalty)
    return torch.where(seen, weaker, scores).clamp(-LARGEST_SCORE, LARGEST_SCORE)
