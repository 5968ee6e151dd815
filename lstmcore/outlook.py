"""What may come next, with the numbers that the settings of a prediction act upon.

Whoever has these can redraw the chances of the next token for any temperature and filter without
asking the network again: the likeliest tokens one by one, all others as sums over small ranges.
"""

from typing import TypedDict

import torch
from torch import Tensor

from lstmcore.export import LanguageModel
from lstmcore.prompts import never_written, read, read_prompt

LISTED_TOKENS = 200
LISTED_SEEN = 500  # tokens of the prompt, which a repetition penalty would move
RANGE_NATS = 0.2  # width of the ranges that the others are counted in


class Candidate(TypedDict):
    """A token that may be written next."""

    token: str
    id: int
    logit: float
    seen: bool  # stands in the prompt: a repetition penalty acts on it


class Range(TypedDict):
    """Tokens that are not listed, whose logits are nearly the same."""

    logit: float  # log of the mean of exp(logit), so that count * exp(logit) is their sum
    count: int


class Outlook(TypedDict):
    """The chances of the next token before any setting acts on them."""

    candidates: list[Candidate]  # the likeliest first
    others: list[Range]  # the likeliest first
    barred_probability: float  # of `<unk>` and `<sep>`, which are never written
    prompt_tokens: int
    unknown_tokens: list[str]
    notice: str | None


@torch.inference_mode()
def outlook(lm: LanguageModel, prompt: str, listed: int = LISTED_TOKENS) -> Outlook:
    """Logits of the tokens that may follow a prompt. Raises PromptError when it is too long."""
    found = read_prompt(lm, prompt)
    logits = read(lm, found.ids)[0][0]  # (V,)
    barred = never_written(lm)
    allowed = torch.ones_like(logits, dtype=torch.bool)
    allowed[barred] = False
    seen = torch.zeros_like(allowed)
    seen[found.ids] = True
    chosen = _listed(logits, seen, allowed, listed)  # ids, the likeliest first
    rest = allowed.clone()
    rest[chosen] = False
    return {
        "candidates": [
            {"token": lm.tokenizer.token(token), "id": token, "logit": logit, "seen": known}
            for token, logit, known in zip(
                chosen.tolist(), logits[chosen].tolist(), seen[chosen].tolist(), strict=True
            )
        ],
        "others": _ranges(logits[rest]),
        "barred_probability": logits.softmax(-1)[barred].sum().item(),
        "prompt_tokens": found.tokens,
        "unknown_tokens": found.unknown,
        "notice": found.notice,
    }


def _listed(logits: Tensor, seen: Tensor, allowed: Tensor, count: int) -> Tensor:
    """The ids of the likeliest tokens and of those in the prompt, the likeliest first."""
    order = logits.argsort(descending=True, stable=True)
    order = order[allowed[order]]
    of_prompt = order[seen[order]][:LISTED_SEEN]
    wanted = torch.zeros_like(allowed)
    wanted[order[:count]] = True
    wanted[of_prompt] = True
    return order[wanted[order]]


def _ranges(logits: Tensor) -> list[Range]:
    """Logits (N,) counted in ranges, the highest first."""
    if len(logits) == 0:
        return []
    steps = ((logits.max() - logits) / RANGE_NATS).long()  # which range each is in, from the top
    return [
        {
            "logit": (inside.logsumexp(0) - torch.tensor(float(len(inside))).log()).item(),
            "count": len(inside),
        }
        for inside in (logits[steps == step] for step in sorted(set(steps.tolist())))
    ]
