"""Beam search: the likeliest continuations as a whole, where greedy takes the likeliest next token.

The probability of a text is the product over its tokens and, where it ends, over that end. Nothing
is drawn and nothing corrects for length, so short texts are favoured: the numbers are the model's.
"""

import math
from collections.abc import Callable
from dataclasses import dataclass

import torch
from torch import Tensor

from lstmcore.export import LanguageModel
from lstmcore.model import State
from lstmcore.prompts import never_written
from lstmcore.writing import Completion


@dataclass(frozen=True)
class Hypothesis:
    """A text that was begun, and the sum of its log probabilities in nats, its end included."""

    text: Completion
    total: float

    @property
    def ended(self) -> bool:
        """Whether nothing more can follow."""
        return self.text.finish_reason is not None


@torch.inference_mode()
def beam_search(
    lm: LanguageModel,
    start: Completion,
    read: tuple[Tensor, State],
    *,
    beams: int,
    best: int,
    max_tokens: int,
    should_stop: Callable[[], bool] | None = None,
) -> list[Completion]:
    """The `best` likeliest continuations found with `beams` open ones, the likeliest first.

    `read` is what the network says after the prompt: logits (1, V) and its state, 2 x (L, 1, H).
    Fewer come back when there are no more; those that reached `max_tokens` are not finished yet.
    With as many beams as there are texts of that length, these are the likeliest there are. Equal
    inputs give equal outputs.
    """
    logits, state = read
    opened, closed = [Hypothesis(start, 0.0)], list[Hypothesis]()
    for written in range(1, max_tokens + 1):
        if should_stop is not None and should_stop():
            for each in opened:
                each.text.finish("cancelled")
            break
        steps = _allowed(lm, logits)  # (b, V) with b open hypotheses
        floor = closed[-1].total if len(closed) == best else -math.inf
        closed = _likeliest([*closed, *_endings(lm, opened, steps, floor)], best)
        rows, tokens, grown = _grow(opened, steps, beams)
        closed = _likeliest([*closed, *(each for each in grown if each.ended)], best)
        going_on = [at for at, each in enumerate(grown) if not each.ended]
        opened = [grown[at] for at in going_on]
        # totals only fall, so what is behind the worst one wanted stays behind
        if not opened or (len(closed) == best and closed[-1].total >= opened[0].total):
            break
        if written < max_tokens:
            kept = rows[going_on]
            state = (state[0][:, kept], state[1][:, kept])  # (L, b, H)
            logits, state = lm.model.step(tokens[going_on], state)
    return [each.text for each in _likeliest([*closed, *opened], best)]


def _allowed(lm: LanguageModel, logits: Tensor) -> Tensor:
    """Log probabilities (b, V), -inf for what is never written."""
    steps = logits.log_softmax(-1)
    steps[:, never_written(lm)] = -math.inf
    return steps


def _endings(
    lm: LanguageModel, opened: list[Hypothesis], steps: Tensor, floor: float
) -> list[Hypothesis]:
    """Every open hypothesis ended here, if likelier than `floor`; rules the end out in `steps`."""
    end = lm.tokenizer.eos_id
    if end >= steps.shape[1]:
        return []  # the tutorial's vocabulary has no end
    totals = [each.total + step for each, step in zip(opened, steps[:, end].tolist(), strict=True)]
    steps[:, end] = -math.inf
    return [
        Hypothesis(_ended(each.text), total)
        for each, total in zip(opened, totals, strict=True)
        if total > floor
    ]


def _grow(
    opened: list[Hypothesis], steps: Tensor, beams: int
) -> tuple[Tensor, Tensor, list[Hypothesis]]:
    """The likeliest longer texts: their rows (k,), new tokens (k,), and themselves, best first."""
    totals = torch.tensor([each.total for each in opened], dtype=torch.float64)  # (b,)
    candidates = (totals[:, None] + steps).flatten()  # (b * V,)
    found = candidates.topk(min(beams, len(candidates)))
    chosen = found.indices[found.values.isfinite()]
    rows, tokens = chosen // steps.shape[1], chosen % steps.shape[1]  # (k,) each
    grown = []
    for row, token, total in zip(
        rows.tolist(), tokens.tolist(), candidates[chosen].tolist(), strict=True
    ):
        text = opened[row].text.copy()
        text.add(token, steps[row, token].item())
        grown.append(Hypothesis(text, total))
    return rows, tokens, grown


def _ended(text: Completion) -> Completion:
    text = text.copy()
    text.finish("stop")
    return text


def _likeliest(found: list[Hypothesis], count: int) -> list[Hypothesis]:
    """The best so many; of equals, those found first."""
    return sorted(found, key=lambda each: -each.total)[:count]
