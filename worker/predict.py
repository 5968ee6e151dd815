"""Predictions that are answered at once and leave no record.

The request goes to a predictor as a message, its answer comes back over Redis under a deadline. If
either is lost nothing is: the caller is told to ask again.
"""

from collections.abc import Iterator
from typing import Any, NoReturn

from lstmcore.config import parse_sampling
from worker import logs, models
from worker.backend import Backend
from worker.errors import InvalidInput, NotFound, Unavailable
from worker.naming import new_id
from worker.queue import ANSWER_PREDICTION
from worker.records import Json

MOST_PROMPTS = 64
LONGEST_PROMPT = 100_000


def predict_now(
    backend: Backend,
    owner: str,
    model: str,
    prompts: list[str],
    sampling: Json,
    timeout: float = 60.0,
) -> list[Json]:
    """One result for each prompt.

    Raises NotFound for the model, InvalidInput, lstmcore's ConfigError, and Unavailable when no
    predictor answers within `timeout` seconds.
    """
    items = stream_now(backend, owner, model, prompts, sampling, timeout)
    return [item["result"] for item in items if item["type"] == "result"]


def stream_now(
    backend: Backend,
    owner: str,
    model: str,
    prompts: list[str],
    sampling: Json,
    timeout: float = 60.0,
) -> Iterator[Json]:
    """The same as it comes: `token` items with text, then a `result` item, for each prompt.

    The request is checked and sent before this returns; the items are read as they are asked for.
    """
    _check_prompts(prompts)
    checked = parse_sampling(sampling).model_dump(mode="json")
    identifier = models.get_or_best(backend, owner, model).id
    request = new_id("ask")
    logs.name(ask=request)
    message = (request, identifier, prompts, checked)
    if not backend.doorbell.send(ANSWER_PREDICTION, message, "predict"):
        raise Unavailable("the queue cannot be reached; ask again in a moment")
    return _items(backend, request, len(prompts), timeout)


def _items(backend: Backend, request: str, prompts: int, timeout: float) -> Iterator[Json]:
    results = 0
    answers = backend.live.answers(request, timeout)
    for item in answers:
        if item["type"] == "error":
            raise_error(item)
        results += item["type"] == "result"
        yield item
        if results == prompts:
            return
    raise Unavailable(f"no predictor answered within {timeout:g} seconds; ask again in a moment")


def raise_error(item: Json) -> NoReturn:
    """What went wrong in the predictor, as an error of this side."""
    if item["code"] == "NotFound":
        raise NotFound(item["message"])
    if item["code"] in ("StoreError", "Damaged", "Unavailable", "internal"):
        raise Unavailable(item["message"])
    raise InvalidInput(item["message"], item.get("errors") or None)


def _check_prompts(prompts: list[Any]) -> None:
    if not 1 <= len(prompts) <= MOST_PROMPTS:
        raise InvalidInput(
            f"give 1 to {MOST_PROMPTS} prompts at once; submit a predict job for more",
            [{"loc": ["prompts"], "msg": f"give 1 to {MOST_PROMPTS} prompts"}],
        )
    for index, prompt in enumerate(prompts):
        if len(prompt) > LONGEST_PROMPT:
            raise InvalidInput(
                f"a prompt has at most {LONGEST_PROMPT:,} characters",
                [{"loc": ["prompts", index], "msg": f"at most {LONGEST_PROMPT:,} characters"}],
            )
