"""Continuing a prompt: it is read once, then token follows token with the state carried on."""

import math
from collections.abc import Callable, Generator, Iterator
from typing import NotRequired, TypedDict

import torch
from torch import Tensor

from lstmcore.beam import beam_search
from lstmcore.config import Sampling
from lstmcore.export import LanguageModel, load_model
from lstmcore.filters import distribution, penalise
from lstmcore.model import State
from lstmcore.prompts import (
    NextToken,
    Prompt,
    advance,
    likeliest_next,
    never_written,
    read,
    read_prompt,
)
from lstmcore.writing import ArrivingText, Completion

__all__ = [
    "CompletionResult",
    "LanguageModel",
    "Prediction",
    "generate",
    "load_model",
    "stream",
]


class TokenLogprob(TypedDict):
    """One written token and its log probability, in nats."""

    token: str
    logprob: float


class CompletionResult(TypedDict):
    """One continuation. `tokens` counts them; `logprob` is the sum over them."""

    text: str
    tokens: int
    finish_reason: str  # "stop", "length" or "cancelled"
    logprob: float
    logprobs: NotRequired[list[TokenLogprob]]  # when asked for


class Prediction(TypedDict):
    """What comes of a prompt."""

    completions: list[CompletionResult]
    next_tokens: list[NextToken]  # the likeliest, before temperature and filters
    prompt_tokens: int
    unknown_tokens: list[str]
    notice: NotRequired[str]


def generate(
    lm: LanguageModel,
    prompt: str,
    sampling: Sampling,
    *,
    should_stop: Callable[[], bool] | None = None,
) -> Prediction:
    """Continue a prompt. Raises PromptError when it is too long."""
    for item in stream(lm, prompt, sampling, should_stop=should_stop):
        if not isinstance(item, str):
            return item
    raise AssertionError("a stream ends with its prediction")


def stream(
    lm: LanguageModel,
    prompt: str,
    sampling: Sampling,
    *,
    should_stop: Callable[[], bool] | None = None,
) -> Iterator[str | Prediction]:
    """Continue a prompt: pieces of the first continuation's text as they come, then the prediction.

    The pieces together are the text: what may become part of a stop, or is half a character, is
    held back. `should_stop` is asked before each token. Raises PromptError.
    """
    asked = read_prompt(lm, prompt)
    after = read(lm, asked.ids)  # (1, V), 2 x (L, 1, H)
    next_tokens = likeliest_next(lm, after[0])
    one_word = lm.config.preset == "tutorial"  # all that the recipe teaches
    most = min(sampling.max_tokens, 1) if one_word else sampling.max_tokens
    if sampling.beams > 1:
        texts = _search(lm, asked, after, sampling, most, should_stop)
    else:
        texts = yield from _draw(lm, asked, after, sampling, most, should_stop)
    reason = "stop" if one_word and sampling.max_tokens > 1 else "length"
    for text in texts:
        text.finish(reason)
    if piece := texts[0].untold():
        yield piece
    yield _prediction(lm, asked, texts, next_tokens, sampling)


def _search(
    lm: LanguageModel,
    asked: Prompt,
    after: tuple[Tensor, State],
    sampling: Sampling,
    most: int,
    should_stop: Callable[[], bool] | None,
) -> list[Completion]:
    """The likeliest texts; nothing can be told before all is known."""
    return beam_search(
        lm,
        Completion(ArrivingText(lm.tokenizer, asked.before), sampling.stop),
        after,
        beams=sampling.beams,
        best=sampling.n,
        max_tokens=most,
        should_stop=should_stop,
    )


def _draw(
    lm: LanguageModel,
    asked: Prompt,
    after: tuple[Tensor, State],
    sampling: Sampling,
    most: int,
    should_stop: Callable[[], bool] | None,
) -> Generator[str, None, list[Completion]]:
    """`n` texts token by token, side by side; yields the first one's pieces."""
    logits, state = after
    picker = _Picker(lm, sampling, asked.ids)
    arriving = [ArrivingText(lm.tokenizer, asked.before) for _ in range(sampling.n)]
    texts = [Completion(text, sampling.stop) for text in arriving]
    logits = logits.expand(sampling.n, -1)  # (n, V)
    state = (state[0].repeat(1, sampling.n, 1), state[1].repeat(1, sampling.n, 1))  # (L, n, H)
    for left in range(most - 1, -1, -1):
        if should_stop is not None and should_stop():
            for text in texts:
                text.finish("cancelled")
            break
        chosen, logprobs = picker.pick(logits)  # (n,) each
        _write(texts, chosen, logprobs, lm.tokenizer.eos_id)
        if piece := texts[0].untold():
            yield piece
        if all(text.finish_reason for text in texts):
            break
        if left > 0:
            logits, state = advance(lm, chosen, state)  # (n, V), 2 x (L, n, H)
    return texts


class _Picker:
    """Chooses the next token of each continuation."""

    def __init__(self, lm: LanguageModel, sampling: Sampling, prompt: list[int]) -> None:
        self._sampling = sampling
        self._banned = torch.tensor(never_written(lm), dtype=torch.int64)
        self._generator = torch.Generator()
        if sampling.seed is None:
            self._generator.seed()
        else:
            self._generator.manual_seed(sampling.seed)
        self._seen = torch.zeros(sampling.n, lm.tokenizer.modelled_size, dtype=torch.bool)  # (n, V)
        self._seen[:, prompt] = True

    @torch.inference_mode()
    def pick(self, logits: Tensor) -> tuple[Tensor, Tensor]:
        """From logits (n, V): the chosen tokens and their log probabilities, (n,) each.

        The log probability is the network's own: before temperature and filters.
        """
        sampling = self._sampling
        logprobs = logits.log_softmax(-1)  # (n, V)
        scores = logits
        if sampling.repetition_penalty != 1:
            scores = penalise(scores, self._seen, sampling.repetition_penalty)
        scores = scores.index_fill(1, self._banned, -math.inf)  # (n, V)
        if sampling.temperature == 0:
            chosen = scores.argmax(-1)  # (n,)
        else:
            shares = distribution(scores, sampling)  # (n, V)
            chosen = torch.multinomial(shares, 1, generator=self._generator)[:, 0]
        self._seen.scatter_(1, chosen[:, None], value=True)
        return chosen, logprobs.gather(1, chosen[:, None])[:, 0]


def _write(texts: list[Completion], chosen: Tensor, logprobs: Tensor, eos_id: int) -> None:
    for text, token, logprob in zip(texts, chosen.tolist(), logprobs.tolist(), strict=True):
        if token == eos_id:
            text.finish("stop")
        else:
            text.add(token, logprob)


def _prediction(
    lm: LanguageModel,
    asked: Prompt,
    texts: list[Completion],
    next_tokens: list[NextToken],
    sampling: Sampling,
) -> Prediction:
    result: Prediction = {
        "completions": [_completion(lm, text, sampling.logprobs) for text in texts],
        "next_tokens": next_tokens,
        "prompt_tokens": asked.tokens,
        "unknown_tokens": asked.unknown,
    }
    if asked.notice is not None:
        result["notice"] = asked.notice
    return result


def _completion(lm: LanguageModel, text: Completion, each: bool) -> CompletionResult:
    result: CompletionResult = {
        "text": text.text,
        "tokens": len(text.tokens),
        "finish_reason": text.finish_reason or "length",
        "logprob": math.fsum(text.logprobs),
    }
    if each:
        result["logprobs"] = [
            {"token": lm.tokenizer.token(token), "logprob": logprob}
            for token, logprob in zip(text.tokens, text.logprobs, strict=True)
        ]
    return result
