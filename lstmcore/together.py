"""Many prompts side by side: each step of the network writes a token of every text.

A step for 32 texts takes little longer than a step for one, so whoever answers many prompts should
write them together. Prompts may have any lengths and settings, and may join while others are being
written. Each text is what `generate` writes alone: random numbers belong to the request, not to the
group. Only where two tokens are equally likely to about six digits may another one be chosen, as
sums over more rows are rounded differently.
"""

from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass

import torch
from torch import Tensor

from lstmcore.config import Sampling
from lstmcore.export import LanguageModel
from lstmcore.model import State
from lstmcore.picking import Picker, pick
from lstmcore.prompts import (
    NextToken,
    Prompt,
    likeliest_next,
    read_many,
    read_prompt,
)
from lstmcore.sampling import Prediction, as_prediction, limits, search, write
from lstmcore.writing import ArrivingText, Completion

__all__ = ["Together", "generate_many", "stream_many"]


def generate_many(
    lm: LanguageModel,
    prompts: Sequence[str],
    samplings: Sequence[Sampling],
    *,
    should_stop: Callable[[], bool] | None = None,
) -> list[Prediction]:
    """Continue many prompts at once, each with its own settings; predictions in the same order.

    Far faster than `generate` one by one, with the same results. `next_tokens` alone: give
    `max_tokens=0`. `should_stop` is asked before each token and ends all texts. Raises PromptError
    when a prompt is too long, and ValueError when there are not as many settings as prompts.
    """
    found: dict[int, Prediction] = {}
    for at, item in stream_many(lm, prompts, samplings, should_stop=should_stop):
        if not isinstance(item, str):
            found[at] = item
    return [found[at] for at in range(len(prompts))]


def stream_many(
    lm: LanguageModel,
    prompts: Sequence[str],
    samplings: Sequence[Sampling],
    *,
    should_stop: Callable[[], bool] | None = None,
) -> Iterator[tuple[int, str | Prediction]]:
    """The same as it comes: (index of the prompt, a piece of its text or its prediction).

    For each prompt the items are those of `stream`. Raises as `generate_many` does, before the
    first item.
    """
    together = Together(lm)
    places = {
        together.add(prompt, sampling): at
        for at, (prompt, sampling) in enumerate(zip(prompts, samplings, strict=True))
    }
    while together.unfinished:
        if should_stop is not None and should_stop():
            together.cancel_all()
        for handle, item in together.step():
            yield places[handle], item


@dataclass(eq=False)
class _Request:
    """A prompt and what continues it."""

    handle: int
    asked: Prompt
    sampling: Sampling
    left: int  # tokens that may still be written
    reason: str  # why it ends when none are left
    picker: Picker
    texts: list[Completion]
    next_tokens: list[NextToken]
    cancelled: bool = False

    def finish(self) -> None:
        for text in self.texts:
            text.finish("cancelled" if self.cancelled else self.reason)


class Together:
    """A group of texts being written; new prompts may join between any two steps.

    The caller decides how large it grows: a text takes the memory of its state, logits and seen
    tokens, (2 L H + 5 V) numbers or so. One thread uses it at a time.
    """

    @torch.inference_mode()
    def __init__(self, lm: LanguageModel) -> None:
        """Start with no text."""
        self._lm = lm
        self._added = 0
        self._waiting: list[_Request] = []
        self._running: list[_Request] = []
        # of the running requests, `sampling.n` rows each, in their order
        self._logits = lm.model.start_logits()[:0]  # (R, V)
        self._state = lm.model.start_state(0)  # 2 x (L, R, H)

    @property
    def unfinished(self) -> int:
        """How many prompts still wait for their prediction."""
        return len(self._waiting) + len(self._running)

    def add(self, prompt: str, sampling: Sampling) -> int:
        """Let a prompt join at the next step; return the handle that its items carry.

        Raises PromptError when it is too long.
        """
        lm, asked = self._lm, read_prompt(self._lm, prompt)
        most, reason = limits(lm, sampling)
        picker = Picker.start(lm, sampling, asked.ids)
        texts = [
            Completion(ArrivingText(lm.tokenizer, asked.before), sampling.stop)
            for _ in range(sampling.n)
        ]
        handle, self._added = self._added, self._added + 1
        self._waiting.append(
            _Request(handle, asked, sampling, most, reason, picker, texts, next_tokens=[])
        )
        return handle

    def cancel(self, handle: int) -> None:
        """End a prompt's texts at the next step, as they are then."""
        for request in (*self._waiting, *self._running):
            if request.handle == handle:
                request.cancelled = True

    def cancel_all(self) -> None:
        """End everything at the next step."""
        for request in (*self._waiting, *self._running):
            request.cancelled = True

    @torch.inference_mode()
    def step(self) -> list[tuple[int, str | Prediction]]:
        """Read what joined, write one token of every text; return what can be told of each.

        Pieces of each request's first text, then its prediction, as `stream` gives them. A beam
        search (`beams` above 1) is done whole in the step that it joins in.
        """
        told = self._join()
        self._keep([request for request in self._running if not request.cancelled], told)
        if not self._running:
            return told
        lm, counts = self._lm, [request.sampling.n for request in self._running]
        chosen, logprobs = pick([request.picker for request in self._running], self._logits)
        going_on = []
        for request, tokens, scores in zip(
            self._running, torch.split(chosen, counts), torch.split(logprobs, counts), strict=True
        ):
            write(lm, request.texts, tokens, scores, request.sampling)
            request.left -= 1
            if piece := request.texts[0].untold():
                told.append((request.handle, piece))
            if request.left > 0 and not all(text.finish_reason for text in request.texts):
                going_on.append(request)
        chosen = self._keep(going_on, told, chosen)
        if self._running:
            self._logits, self._state = lm.model.step(chosen, self._state)
        return told

    def _join(self) -> list[tuple[int, str | Prediction]]:
        """Read the prompts that wait, all together."""
        told: list[tuple[int, str | Prediction]] = []
        joining, self._waiting = self._waiting, []
        if not joining:
            return told
        lm = self._lm
        logits, state = read_many(lm, [request.asked.ids for request in joining])
        rows: list[int] = []  # of what was read, one for each text
        for row, request in enumerate(joining):
            request.next_tokens = likeliest_next(lm, logits[row : row + 1])
            if request.sampling.beams > 1 and not request.cancelled:
                after = (logits[row : row + 1], _rows(state, [row]))
                request.texts = search(lm, request.asked, after, request.sampling, request.left)
                self._end(request, told)
            elif request.left == 0 or request.cancelled:
                self._end(request, told)
            else:
                self._running.append(request)
                rows += [row] * request.sampling.n
        self._logits = torch.cat([self._logits, logits[rows]])
        joined = _rows(state, rows)
        h, c = (torch.cat(parts, dim=1) for parts in zip(self._state, joined, strict=True))
        self._state = (h, c)
        return told

    def _keep(
        self,
        going_on: list[_Request],
        told: list[tuple[int, str | Prediction]],
        chosen: Tensor | None = None,
    ) -> Tensor:
        """End the requests that do not go on and drop their rows; return the others' `chosen`."""
        chosen = torch.empty(len(self._logits)) if chosen is None else chosen
        if len(going_on) == len(self._running):
            return chosen
        rows: list[int] = []
        first, kept = 0, set(map(id, going_on))
        for request in self._running:
            if id(request) in kept:
                rows += range(first, first + request.sampling.n)
            else:
                self._end(request, told)
            first += request.sampling.n
        self._running, self._logits = going_on, self._logits[rows]
        self._state = _rows(self._state, rows)
        return chosen[rows]

    def _end(self, request: _Request, told: list[tuple[int, str | Prediction]]) -> None:
        request.finish()
        if piece := request.texts[0].untold():
            told.append((request.handle, piece))
        prediction = as_prediction(
            self._lm, request.asked, request.texts, request.next_tokens, request.sampling
        )
        told.append((request.handle, prediction))


def _rows(state: State, rows: list[int]) -> State:
    """The states of some rows, 2 x (L, len(rows), H)."""
    return state[0][:, rows], state[1][:, rows]
