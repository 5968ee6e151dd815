"""Looks into a model: how it scores a text, what it computes, which words are alike to it.

As with `predict`, a question goes to a predictor as a message, the answer comes back over Redis
under a deadline, and nothing is recorded. Every answer is bounded in size, whatever the model.
"""

from typing import Any, Literal

from worker import models
from worker.backend import Backend
from worker.errors import InvalidInput
from worker.predict import raise_error
from worker.records import Json

Question = Literal["next", "score", "explain", "neurons", "saliency", "nearest", "map"]

# Characters of a text, by what is asked about it: what it costs and how much comes back differ.
LONGEST_TEXT: dict[Question, int] = {
    "next": 100_000,
    "score": 20_000,
    "explain": 4_000,
    "neurons": 4_000,
    "saliency": 4_000,
}
LONGEST_TOKEN = 200
MOST_NEAREST = 100
MOST_PLACES = 1_000


def next_scores(
    backend: Backend, owner: str, model: str, *, prompt: str, timeout: float = 60.0
) -> Json:
    """Logits of the next token, for those who choose by them: see `lstmcore.outlook`.

    This and all others raise NotFound for the model, InvalidInput, and Unavailable when no
    predictor answers within `timeout` seconds.
    """
    _check_text("next", "prompt", prompt)
    return _ask(backend, owner, model, "next", {"prompt": prompt}, timeout)


def score(
    backend: Backend, owner: str, model: str, *, text: str, prompt: str = "", timeout: float = 60.0
) -> Json:
    """Log probability of each token of a text, in nats, and its perplexity."""
    _check_text("score", "text", text)
    _check_text("score", "prompt", prompt)
    return _ask(backend, owner, model, "score", {"text": text, "prompt": prompt}, timeout)


def explain(
    backend: Backend,
    owner: str,
    model: str,
    *,
    text: str,
    layer: int | None = None,
    timeout: float = 60.0,
) -> Json:
    """One prediction step by step: tokens, ids, embedding, gates and states, logits, softmax."""
    _check_text("explain", "text", text)
    return _ask(backend, owner, model, "explain", {"text": text, "layer": layer}, timeout)


def neurons(
    backend: Backend,
    owner: str,
    model: str,
    *,
    text: str,
    layer: int | None = None,
    neuron: int | None = None,
    timeout: float = 60.0,
) -> Json:
    """Values of a neuron token by token, and the most interesting ones with the reason."""
    _check_text("neurons", "text", text)
    arguments = {"text": text, "layer": layer, "neuron": neuron}
    return _ask(backend, owner, model, "neurons", arguments, timeout)


def saliency(
    backend: Backend,
    owner: str,
    model: str,
    *,
    prompt: str,
    token: str | None = None,
    timeout: float = 60.0,
) -> Json:
    """What in the context spoke for the next token (None: the likeliest)."""
    _check_text("saliency", "prompt", prompt)
    _check_token(token or "a")
    return _ask(backend, owner, model, "saliency", {"prompt": prompt, "token": token}, timeout)


def nearest(
    backend: Backend,
    owner: str,
    model: str,
    *,
    token: str,
    count: int = 10,
    timeout: float = 60.0,
) -> Json:
    """Tokens whose vectors point most nearly the same way."""
    _check_token(token)
    _check_count(count, MOST_NEAREST)
    return _ask(backend, owner, model, "nearest", {"token": token, "count": count}, timeout)


def word_map(
    backend: Backend, owner: str, model: str, *, count: int = 300, timeout: float = 60.0
) -> Json:
    """Word vectors in a plane."""
    _check_count(count, MOST_PLACES)
    return _ask(backend, owner, model, "map", {"count": count}, timeout)


def _ask(
    backend: Backend, owner: str, model: str, question: Question, arguments: Json, timeout: float
) -> Json:
    identifier = models.identify(backend, owner, model)
    for item in backend.asks.ask(owner, identifier, question, arguments, timeout=timeout):
        if item["type"] == "error":
            raise_error(item)
        if item["type"] == "result":
            result: dict[str, Any] = item["result"]
            return result
    raise AssertionError("an answer ends with its last item")


def _check_text(question: Question, field: str, text: str) -> None:
    most = LONGEST_TEXT[question]
    if len(text) > most:
        message = f"at most {most:,} characters can be looked at at once; shorten it"
        raise InvalidInput(f"`{field}`: {message}", [{"loc": [field], "msg": message}])


def _check_token(token: str) -> None:
    if not 1 <= len(token) <= LONGEST_TOKEN:
        message = f"give one token of 1 to {LONGEST_TOKEN} characters"
        raise InvalidInput(f"`token`: {message}", [{"loc": ["token"], "msg": message}])


def _check_count(count: int, most: int) -> None:
    if not 1 <= count <= most:
        message = f"give a number from 1 to {most:,}"
        raise InvalidInput(f"`count`: {message}", [{"loc": ["count"], "msg": message}])
