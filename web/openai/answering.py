"""Predictions in the two shapes OpenAI's clients know: whole, or as chunks of a stream.

A stream is `data: {…}` after `data: {…}` until `data: [DONE]`. It has comments in quiet times, but
never an `id:` line or an empty message: with those the clients stop reading.
"""

import secrets
import time
from abc import ABC, abstractmethod
from collections.abc import Iterator
from itertools import chain

from flask import Response
from pydantic import BaseModel

from web.api.parsing import LONGEST_WAIT_SECONDS, inside
from web.api.serialize import dump
from web.api.sse import HEARTBEAT, respond_stream
from web.auth import current_backend, current_owner
from web.errors import describe
from web.openai.completion_body import SamplingBody
from web.openai.errors import error_json, refuse
from web.openai.ids import BASE_MODELS
from web.openai.lists import OpenaiAnswer
from web.openai.models import find
from web.operation import about
from web.places import place
from worker import predict
from worker.errors import WorkerError
from worker.records import Json

DONE = "data: [DONE]\n\n"


class Usage(BaseModel):
    """Tokens read and written."""

    prompt_tokens: int = about("Tokens read.", 3, 0)
    completion_tokens: int = about("Tokens written.", 1, 0)
    total_tokens: int = about("Both.", 4, 0)

    @classmethod
    def of(cls, results: list[Json]) -> "Usage":
        """The counts of all prompts together."""
        read = sum(result["prompt_tokens"] for result in results)
        written = sum(text["tokens"] for result in results for text in result["completions"])
        return cls(prompt_tokens=read, completion_tokens=written, total_tokens=read + written)


class Writer(ABC):
    """Says one request's predictions in the shape of its route.

    Continuation `number` of prompt `at` is the choice `at * n + number`.
    """

    prefix: str  # of the answer's id

    def __init__(self, body: SamplingBody) -> None:
        self.model, self.n = body.model, body.n or 1
        self.id = f"{self.prefix}{secrets.token_hex(12)}"
        self.created = int(time.time())

    @abstractmethod
    def whole(self, results: list[Json]) -> OpenaiAnswer:
        """Everything at once."""

    @abstractmethod
    def opening(self, at: int) -> OpenaiAnswer | None:
        """What is said before the first text of a prompt's continuation."""

    @abstractmethod
    def piece(self, index: int, text: str) -> OpenaiAnswer:
        """Text of a choice."""

    @abstractmethod
    def ending(self, index: int, completion: Json) -> OpenaiAnswer:
        """Why a choice ends, and what else is told of it."""

    @abstractmethod
    def usage(self, usage: Usage) -> OpenaiAnswer:
        """The last chunk, when asked for."""


def answer(body: SamplingBody, prompts: list[str], sampling: Json, writer: Writer) -> Response:
    """Ask a predictor and answer the request, whole or as a stream."""
    if body.model in BASE_MODELS:
        refuse("model", f"{body.model} has learned nothing: train it first, then ask the new model")
    model = find(body.model)
    where = (current_backend(), current_owner(), model.id, prompts, sampling)
    with place("prediction"), inside("sampling"):
        if not body.stream:
            return writer.whole(predict.predict_now(*where, LONGEST_WAIT_SECONDS)).respond()
        items = predict.stream_now(*where, LONGEST_WAIT_SECONDS)
        # The first item is awaited here, so that what is refused still gets its status.
        first = next(items)
    return respond_stream(_frames(chain([first], items), writer, tells_usage=body.tells_usage))


def _frames(items: Iterator[Json], writer: Writer, *, tells_usage: bool) -> Iterator[str]:
    opened: set[int] = set()
    results: list[Json] = []
    try:
        for item in items:
            if item["type"] == "quiet":
                yield HEARTBEAT
                continue
            at = item["index"]
            for index in range(at * writer.n, (at + 1) * writer.n):
                if index not in opened and (opening := writer.opening(index)) is not None:
                    yield _frame(opening)
                opened.add(index)
            if item["type"] == "token":
                yield _frame(writer.piece(at * writer.n, item["text"]))
            else:
                results.append(item["result"])
                yield from _endings(writer, at, item["result"]["completions"])
    except WorkerError as error:
        yield f"data: {dump(error_json(describe(error)))}\n\n"
        return
    if tells_usage:
        yield _frame(writer.usage(Usage.of(results)))
    yield DONE


def _endings(writer: Writer, at: int, completions: list[Json]) -> Iterator[str]:
    for number, completion in enumerate(completions):
        index = at * writer.n + number
        # Only the first text of a prompt comes piece by piece.
        if number > 0 and completion["text"]:
            yield _frame(writer.piece(index, completion["text"]))
        yield _frame(writer.ending(index, completion))


def _frame(chunk: OpenaiAnswer) -> str:
    return f"data: {chunk.model_dump_json()}\n\n"
