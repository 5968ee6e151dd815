"""Predictions that are answered at once and leave no record.

The question goes to a predictor and its answer comes back over Redis, under a deadline (see
`asks`). If either is lost nothing is: the caller is told to ask again.
"""

from collections.abc import Iterator
from typing import Any, NoReturn

from lstmcore.config import parse_sampling
from worker import models
from worker.asks import CONTINUE
from worker.backend import Backend
from worker.errors import InvalidInput, NotFound, Unavailable
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
    answers = _send(backend, owner, model, prompts, sampling, timeout, stream=False)
    results = {item["index"]: item["result"] for item in _items(answers) if "result" in item}
    return [results[number] for number in range(len(prompts))]


def stream_now(
    backend: Backend,
    owner: str,
    model: str,
    prompts: list[str],
    sampling: Json,
    timeout: float = 60.0,
) -> Iterator[Json]:
    """The same as it comes: `token` items with text, then a `result` item, for each prompt.

    Each says the `index` of its prompt; prompts are answered side by side. In quiet times there are
    `quiet` items, for those who must show that they are still there.

    The request is checked and sent before this returns; the items are read as they are asked for.
    """
    return _items(_send(backend, owner, model, prompts, sampling, timeout, stream=True))


def _send(
    backend: Backend,
    owner: str,
    model: str,
    prompts: list[str],
    sampling: Json,
    timeout: float,
    *,
    stream: bool,
) -> Iterator[Json]:
    _check_prompts(prompts)
    checked = parse_sampling(sampling).model_dump(mode="json", exclude_defaults=True)
    identifier = models.identify(backend, owner, model)
    arguments = {"prompts": prompts, "sampling": checked}
    return backend.asks.ask(owner, identifier, CONTINUE, arguments, stream=stream, timeout=timeout)


def _items(answers: Iterator[Json]) -> Iterator[Json]:
    for item in answers:
        if item["type"] == "error":
            raise_error(item)
        yield item


def raise_error(item: Json) -> NoReturn:
    """What went wrong in the predictor, as an error of this side."""
    if item["code"] == "NotFound":
        raise NotFound(item["message"])
    if item["code"] in ("StoreError", "Damaged", "Unavailable", "OtherVersion", "internal"):
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
