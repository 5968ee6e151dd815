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
from lstmcore.filters import distribution, penalise
from lstmcore.prompts import never_written


@dataclass(frozen=True, eq=False)
class Picker:
    """What decides the next token of `sampling.n` texts that continue one prompt."""

    sampling: Sampling
    seen: Tensor  # (n, V) bool: tokens of the prompt and of each text so far
    generator: torch.Generator = field(repr=False)

    @classmethod
    def start(cls, lm: LanguageModel, sampling: Sampling, prompt: list[int]) -> "Picker":
        """Before the first token; a `seed` of None takes fresh random numbers."""
        generator = torch.Generator()
        if sampling.seed is None:
            generator.seed()
        else:
            generator.manual_seed(sampling.seed)
        seen = torch.zeros(sampling.n, lm.tokenizer.modelled_size, dtype=torch.bool)
        seen[:, prompt] = True
        return cls(sampling, seen, generator)

    def noise(self, rows: Tensor) -> None:
        """Fill `rows` (n, V) with the exponential noise of one draw."""
        rows.exponential_(generator=self.generator)


@torch.inference_mode()
def pick(lm: LanguageModel, pickers: Sequence[Picker], logits: Tensor) -> tuple[Tensor, Tensor]:
    """From logits (R, V), the rows of all pickers: chosen tokens and log probabilities, (R,) each.

    The log probability is the network's own: before temperature and filters.
    """
    logprobs = logits.log_softmax(-1)  # (R, V)
    banned = torch.tensor(never_written(lm), dtype=torch.int64)
    chosen = torch.empty(len(logits), dtype=torch.int64)  # (R,)
    counts = [picker.sampling.n for picker in pickers]
    for alike in _alike(pickers):
        group = [pickers[at] for at in alike]
        if len(alike) == len(pickers):
            chosen = _choose(group, logits, banned)
            break
        ends = torch.tensor(counts).cumsum(0).tolist()
        rows = torch.cat([torch.arange(ends[at] - counts[at], ends[at]) for at in alike])
        chosen[rows] = _choose(group, logits[rows], banned)
    for picker, tokens in zip(pickers, torch.split(chosen, counts), strict=True):
        picker.seen.scatter_(1, tokens[:, None], value=True)
    return chosen, logprobs.gather(1, chosen[:, None])[:, 0]


def _choose(pickers: list[Picker], scores: Tensor, banned: Tensor) -> Tensor:
    """The next tokens (R,) of texts with the same settings, from their logits (R, V)."""
    sampling = pickers[0].sampling
    if sampling.repetition_penalty != 1:
        seen = torch.cat([picker.seen for picker in pickers])  # (R, V)
        scores = penalise(scores, seen, sampling.repetition_penalty)
    scores = scores.index_fill(1, banned, -math.inf)  # (R, V)
    if sampling.temperature == 0:
        return scores.argmax(-1)
    shares = distribution(scores, sampling)  # (R, V)
    # dividing by exponential noise and taking the largest draws with these probabilities
    noise = torch.empty_like(shares)
    counts = [picker.sampling.n for picker in pickers]
    for picker, rows in zip(pickers, torch.split(noise, counts), strict=True):
        picker.noise(rows)
    return (shares / noise).argmax(-1)


def _alike(pickers: Sequence[Picker]) -> list[list[int]]:
    """Which of them choose by the same settings, so that one calculation serves them."""
    groups: dict[tuple[float, ...], list[int]] = {}
    for at, picker in enumerate(pickers):
        s = picker.sampling
        key = (s.temperature, s.top_k, s.top_p, s.min_p, s.repetition_penalty)
        groups.setdefault(key, []).append(at)
    return list(groups.values())
