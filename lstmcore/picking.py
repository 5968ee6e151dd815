"""Choosing the next token of each text: penalty, temperature, filters, then the draw.

Every text that is asked for has random numbers of its own, so it comes out the same whether it is
written alone or beside others.
"""

import math
from collections.abc import Sequence
from dataclasses import dataclass, field

import torch
from torch import Tensor

from lstmcore.config import Sampling
from lstmcore.export import LanguageModel
from lstmcore.filters import distribution, draw, penalise
from lstmcore.prompts import never_written


@dataclass(frozen=True, eq=False)
class Picker:
    """What decides the next token of `sampling.n` texts that continue one prompt."""

    sampling: Sampling
    seen: Tensor  # (n, V) bool: tokens of the prompt and of each text so far
    barred: Tensor  # (V,): -inf for what is never written, else 0
    generator: torch.Generator = field(repr=False)

    @classmethod
    def start(cls, lm: LanguageModel, sampling: Sampling, prompt: list[int]) -> "Picker":
        """Before the first token; a `seed` of None takes fresh random numbers."""
        generator = torch.Generator()
        if sampling.seed is None:
            generator.seed()
        else:
            generator.manual_seed(sampling.seed)
        vocabulary = lm.tokenizer.modelled_size
        seen = torch.zeros(sampling.n, vocabulary, dtype=torch.bool)
        seen[:, prompt] = True
        barred = torch.zeros(vocabulary)
        barred[never_written(lm)] = -math.inf
        return cls(sampling, seen, barred, generator)

    def points(self) -> Tensor:
        """Random numbers in [0, 1) for one draw, (n,) float64."""
        return torch.rand(self.sampling.n, dtype=torch.float64, generator=self.generator)

    def note(self, tokens: Tensor) -> None:
        """Remember what was chosen, (n,), where that matters later."""
        if self.sampling.repetition_penalty != 1:
            self.seen.scatter_(1, tokens[:, None], value=True)


@torch.inference_mode()
def pick(pickers: Sequence[Picker], logits: Tensor) -> tuple[Tensor, Tensor]:
    """From logits (R, V), the rows of all pickers: chosen tokens (R,) and log probabilities (R, V).

    The log probabilities are the network's own: before temperature and filters.
    """
    logprobs = logits.log_softmax(-1)  # (R, V)
    if len(pickers) == 1:
        chosen = _choose(pickers, logits)  # (R,)
        pickers[0].note(chosen)
    else:
        chosen = _choose_for_many(pickers, logits)
    return chosen, logprobs


def _choose_for_many(pickers: Sequence[Picker], logits: Tensor) -> Tensor:
    """The same where settings may differ."""
    chosen = torch.empty(len(logits), dtype=torch.int64)  # (R,)
    counts = [picker.sampling.n for picker in pickers]
    ends = torch.tensor(counts).cumsum(0).tolist()
    for alike in _alike(pickers):
        rows = torch.cat([torch.arange(ends[at] - counts[at], ends[at]) for at in alike])
        chosen[rows] = _choose([pickers[at] for at in alike], logits[rows])
    for picker, tokens in zip(pickers, torch.split(chosen, counts), strict=True):
        picker.note(tokens)
    return chosen


def _choose(pickers: Sequence[Picker], scores: Tensor) -> Tensor:
    """The next tokens (R,) of texts with the same settings, from their logits (R, V)."""
    sampling = pickers[0].sampling
    if sampling.repetition_penalty != 1:
        seen = torch.cat([picker.seen for picker in pickers])  # (R, V)
        scores = penalise(scores, seen, sampling.repetition_penalty)
    scores = scores + pickers[0].barred  # (R, V)
    if sampling.temperature == 0:
        return scores.argmax(-1)
    shares = distribution(scores, sampling)  # (R, V)
    return draw(shares, torch.cat([picker.points() for picker in pickers]))


def _alike(pickers: Sequence[Picker]) -> list[list[int]]:
    """Which of them choose by the same settings, so that one calculation serves them."""
    groups: dict[tuple[float, ...], list[int]] = {}
    for at, picker in enumerate(pickers):
        s = picker.sampling
        key = (s.temperature, s.top_k, s.top_p, s.min_p, s.repetition_penalty)
        groups.setdefault(key, []).append(at)
    return list(groups.values())
