"""Continuing a prompt: it is read once, then token follows token with the state carried on."""

import math
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from typing import NotRequired, TypedDict

import torch
from torch import Tensor

from lstmcore.config import Sampling
from lstmcore.errors import PromptError
from lstmcore.export import LanguageModel, load_model
from lstmcore.model import State
from lstmcore.writing import ArrivingText, Completion

__all__ = [
    "CompletionResult",
    "LanguageModel",
    "Prediction",
    "generate",
    "load_model",
    "stream",
]

NEXT_TOKENS = 10
LONGEST_PROMPT = 100_000  # tokens
PROMPT_WINDOW = 512  # tokens read at once
NOTHING_KNOWN = (
    "The model knows nothing of this prompt, so it wrote as if there were none. "
    "Use words from the text it was trained on."
)


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


class NextToken(TypedDict):
    """A token that may follow the prompt."""

    token: str
    probability: float


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
    asked = _read_prompt(lm, prompt)
    logits, state = _read(lm, asked.ids)  # (1, V), 2 x (L, 1, H)
    picker = _Picker(lm, sampling, asked.ids)
    next_tokens = _next_tokens(lm, logits)
    arriving = [ArrivingText(lm.tokenizer, asked.before) for _ in range(sampling.n)]
    texts = [Completion(text, sampling.stop) for text in arriving]
    logits = logits.expand(sampling.n, -1)  # (n, V)
    state = (state[0].repeat(1, sampling.n, 1), state[1].repeat(1, sampling.n, 1))  # (L, n, H)
    one_word = lm.config.preset == "tutorial"  # all that the recipe teaches
    left = min(sampling.max_tokens, 1) if one_word else sampling.max_tokens
    while left > 0:
        left -= 1
        if should_stop is not None and should_stop():
            _finish(texts, "cancelled")
            break
        chosen, logprobs = picker.pick(logits)  # (n,) each
        _write(texts, chosen, logprobs, lm.tokenizer.eos_id)
        if piece := texts[0].untold():
            yield piece
        if all(text.finish_reason for text in texts):
            break
        if left > 0:
            logits, state = _advance(lm, chosen, state)  # (n, V), 2 x (L, n, H)
    _finish(texts, "stop" if one_word and sampling.max_tokens > 1 else "length")
    if piece := texts[0].untold():
        yield piece
    yield _prediction(lm, asked, texts, next_tokens, sampling)


@dataclass(frozen=True)
class _Prompt:
    """A prompt as the network reads it."""

    ids: list[int]
    before: list[int]  # of these, what the continuation's spelling depends on
    tokens: int
    unknown: list[str]
    notice: str | None


def _read_prompt(lm: LanguageModel, prompt: str) -> _Prompt:
    """Put a prompt in the form that the training had: what comes before and after it differs."""
    tokenizer = lm.tokenizer
    encoding = tokenizer.encode(prompt)
    known = [token for token in encoding.ids if token != tokenizer.unk_id]
    says_something = any(tokenizer.token(token).strip() for token in known)
    lost = bool(encoding.unknown) and not says_something
    ids = [] if lost else encoding.ids
    if len(ids) > LONGEST_PROMPT:
        raise PromptError(
            f"The prompt has {len(ids):,} tokens; {LONGEST_PROMPT:,} are the most. Shorten it."
        )
    notice = NOTHING_KNOWN if lost else None
    if lm.config.preset == "tutorial":
        return _Prompt(ids, [], len(ids), encoding.unknown, notice)
    if lm.layout == "pairs":
        return _Prompt([*ids, tokenizer.sep_id], [], len(ids), encoding.unknown, notice)
    # a line begins after the end of another; a text's prompt may come from anywhere in it, and
    # without a prompt the text goes on with a new line
    start: list[int] = []
    if lm.layout == "lines":
        start = [tokenizer.eos_id]
    elif not ids:
        new_line = tokenizer.encode("\n")
        start = [tokenizer.eos_id] if new_line.unknown else new_line.ids[-1:] or [tokenizer.eos_id]
    return _Prompt([*start, *ids], ids, len(ids), encoding.unknown, notice)


@torch.inference_mode()
def _read(lm: LanguageModel, ids: list[int]) -> tuple[Tensor, State]:
    """Read a prompt from the start state: logits after it (1, V) and the state (L, 1, H)."""
    state = lm.model.start_state(1)
    if not ids:
        return lm.model.start_logits(), state
    tokens = torch.tensor([ids])  # (1, T)
    for window in torch.split(tokens, PROMPT_WINDOW, dim=1):
        features, state = lm.model.features(window, state)
    return lm.model.output(features[:, -1]), state


@torch.inference_mode()
def _advance(lm: LanguageModel, chosen: Tensor, state: State) -> tuple[Tensor, State]:
    """Read the chosen tokens (n,): logits (n, V) and the state (L, n, H)."""
    return lm.model.step(chosen, state)


def _never_written(lm: LanguageModel) -> list[int]:
    special = (lm.tokenizer.unk_id, lm.tokenizer.sep_id)
    return [token for token in special if token < lm.tokenizer.modelled_size]


class _Picker:
    """Chooses the next token of each continuation."""

    def __init__(self, lm: LanguageModel, sampling: Sampling, prompt: list[int]) -> None:
        self._sampling = sampling
        self._banned = _never_written(lm)
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
        scores = logits.clone()  # (n, V)
        scores[:, self._banned] = -math.inf
        if sampling.repetition_penalty != 1:
            weaker = torch.where(
                scores > 0,
                scores / sampling.repetition_penalty,
                scores * sampling.repetition_penalty,
            )
            scores = torch.where(self._seen, weaker, scores)
        if sampling.temperature == 0:
            chosen = scores.argmax(-1)  # (n,)
        else:
            chosen = self._draw(scores / sampling.temperature)
        self._seen.scatter_(1, chosen[:, None], value=True)
        return chosen, logprobs.gather(1, chosen[:, None])[:, 0]

    def _draw(self, scores: Tensor) -> Tensor:
        if 0 < self._sampling.top_k < scores.shape[1]:
            lowest = scores.topk(self._sampling.top_k).values[:, -1:]  # (n, 1)
            scores = scores.masked_fill(scores < lowest, -math.inf)
        if self._sampling.top_p < 1:
            ordered, order = scores.sort(-1, descending=True)
            shares = ordered.softmax(-1)
            # a token stays when those likelier than it do not reach the share yet
            dropped = shares.cumsum(-1) - shares >= self._sampling.top_p
            dropped[:, 0] = False
            scores = scores.scatter(1, order, ordered.masked_fill(dropped, -math.inf))
        drawn = torch.multinomial(scores.softmax(-1), 1, generator=self._generator)  # (n, 1)
        return drawn[:, 0]


def _next_tokens(lm: LanguageModel, logits: Tensor) -> list[NextToken]:
    hidden = _never_written(lm)
    probabilities = logits[0].softmax(-1)  # (V,)
    likeliest = probabilities.topk(min(NEXT_TOKENS + len(hidden), len(probabilities)))
    return [
        NextToken(token=lm.tokenizer.token(token), probability=probability)
        for probability, token in zip(
            likeliest.values.tolist(), likeliest.indices.tolist(), strict=True
        )
        if token not in hidden
    ][:NEXT_TOKENS]


def _write(texts: list[Completion], chosen: Tensor, logprobs: Tensor, eos_id: int) -> None:
    for text, token, logprob in zip(texts, chosen.tolist(), logprobs.tolist(), strict=True):
        if token == eos_id:
            text.finish("stop")
        else:
            text.add(token, logprob)


def _finish(texts: list[Completion], reason: str) -> None:
    for text in texts:
        text.finish(reason)


def _prediction(
    lm: LanguageModel,
    asked: _Prompt,
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
