"""Continuing a prompt: it is read once, then token follows token with the state carried on."""

import math
from collections.abc import Callable, Generator, Iterator
from typing import NotRequired, TypedDict

import torch
from torch import Tensor

from lstmcore.beam import beam_search
from lstmcore.config import Sampling
from lstmcore.export import LanguageModel, load_model
from lstmcore.model import State
from lstmcore.picking import Picker, pick
from lstmcore.prompts import (
    NextToken,
    Prompt,
    likeliest_next,
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
    """A token and its log probability, in nats."""

    token: str
    logprob: float


class WrittenToken(TokenLogprob):
    """One token of a text."""

    offset: int  # where in the text it begins
    alternatives: NotRequired[list[TokenLogprob]]  # the likeliest in its place, when asked for


class CompletionResult(TypedDict):
    """One continuation. `tokens` counts them; `logprob` is the sum over them."""

    text: str
    tokens: int
    finish_reason: str  # "stop", "length" or "cancelled"
    logprob: float
    logprobs: NotRequired[list[WrittenToken]]  # when asked for


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
    most, reason = limits(lm, sampling)
    if sampling.beams > 1:
        texts = search(lm, asked, after, sampling, most, should_stop)
    else:
        texts = yield from _draw(lm, asked, after, sampling, most, should_stop)
    for text in texts:
        text.finish(reason)
    if piece := texts[0].untold():
        yield piece
    yield as_prediction(lm, asked, texts, next_tokens, sampling)


def limits(lm: LanguageModel, sampling: Sampling) -> tuple[int, str]:
    """How many tokens may be written, and why a text of so many ends."""
    one_word = lm.config.preset == "tutorial"  # all that the recipe teaches
    most = min(sampling.max_tokens, 1) if one_word else sampling.max_tokens
    return most, "stop" if one_word and sampling.max_tokens > 1 else "length"


def search(
    lm: LanguageModel,
    asked: Prompt,
    after: tuple[Tensor, State],
    sampling: Sampling,
    most: int,
    should_stop: Callable[[], bool] | None = None,
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
    picker = Picker.start(lm, sampling, asked.ids)
    arriving = [ArrivingText(lm.tokenizer, asked.before) for _ in range(sampling.n)]
    texts = [Completion(text, sampling.stop) for text in arriving]
    logits = logits.expand(sampling.n, -1)  # (n, V)
    state = (state[0].repeat(1, sampling.n, 1), state[1].repeat(1, sampling.n, 1))  # (L, n, H)
    for left in range(most - 1, -1, -1):
        if should_stop is not None and should_stop():
            for text in texts:
                text.finish("cancelled")
            break
        chosen, logprobs = pick([picker], logits)  # (n,), (n, V)
        write(lm, texts, chosen, logprobs, sampling)
        if piece := texts[0].untold():
            yield piece
        if all(text.finish_reason for text in texts):
            break
        if left > 0:
            with torch.inference_mode():
                logits, state = lm.model.step(chosen, state)  # (n, V), 2 x (L, n, H)
    return texts


def write(
    lm: LanguageModel,
    texts: list[Completion],
    chosen: Tensor,
    logprobs: Tensor,
    sampling: Sampling,
) -> None:
    """Add each text its token, (n,), of the log probabilities (n, V); `<eos>` ends it."""
    of_chosen = logprobs.gather(1, chosen[:, None])[:, 0].tolist()
    for text, token, logprob in zip(texts, chosen.tolist(), of_chosen, strict=True):
        if token == lm.tokenizer.eos_id:
            text.finish("stop")
        else:
            text.add(token, logprob)
    if sampling.alternatives:
        likeliest = logprobs.topk(min(sampling.alternatives, logprobs.shape[-1]))
        rows = zip(likeliest.indices.tolist(), likeliest.values.tolist(), strict=True)
        for text, row in zip(texts, rows, strict=True):
            if len(text.alternatives) < len(text.tokens):
                text.alternatives.append(row)


def as_prediction(
    lm: LanguageModel,
    asked: Prompt,
    texts: list[Completion],
    next_tokens: list[NextToken],
    sampling: Sampling,
) -> Prediction:
    """The answer to a prompt, of its finished texts."""
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
        written = zip(text.tokens, text.logprobs, text.offsets, strict=True)
        result["logprobs"] = [
            {"token": lm.tokenizer.token(token), "logprob": logprob, "offset": offset}
            for token, logprob, offset in written
        ]
    for token, likeliest in zip(result.get("logprobs", []), text.alternatives, strict=False):
        token["alternatives"] = [
            {"token": lm.tokenizer.token(other), "logprob": logprob}
            for other, logprob in zip(*likeliest, strict=True)
        ]
    return result
