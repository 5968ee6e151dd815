"""`POST /models/{…}/predict`: an answer now or never; nothing is recorded."""

from collections.abc import Iterator
from itertools import chain
from typing import Any

from flask import Blueprint, Response
from pydantic import Field

from web.api.parsing import LONGEST_WAIT_SECONDS, Body, inside, preferred_wait, read_body
from web.api.serialize import respond_json
from web.api.sse import frame, respond_stream
from web.auth import current_backend, current_owner
from web.errors import describe
from web.places import place
from web.roles import needs
from worker import predict as contract
from worker.errors import InvalidInput, WorkerError
from worker.records import Json

predict = Blueprint("predict", __name__, url_prefix="/models")


class PromptBody(Body):
    """One prompt or several, and how to continue them."""

    prompt: str | None = None
    prompts: list[str] | None = None
    sampling: dict[str, Any] = Field(default_factory=dict)

    def all_prompts(self) -> list[str]:
        """The prompts. Raises InvalidInput unless exactly one of the two fields is used."""
        if (self.prompt is None) == (self.prompts is None) or self.prompts == []:
            raise InvalidInput(
                "Give either `prompt` or `prompts`.",
                [{"loc": ["prompt"], "msg": "give either this or `prompts`"}],
            )
        return self.prompts if self.prompts is not None else [self.prompt or ""]


class PredictNowBody(PromptBody):
    """The body of a prediction that is waited for."""

    stream: bool = False


@predict.post("/<path:reference>/predict")
@needs("viewer")
def predict_now(reference: str) -> Response:
    """Continue the prompts; `Prefer: wait=N` waits less than a minute for it."""
    body = read_body(PredictNowBody)
    prompts = body.all_prompts()
    timeout = preferred_wait() or LONGEST_WAIT_SECONDS
    where = (current_backend(), current_owner(), reference)
    if body.stream:
        if len(prompts) != 1:
            raise InvalidInput(
                "Only one prompt can be streamed.",
                [{"loc": ["prompts"], "msg": "give one prompt, or leave `stream` out"}],
            )
        with place("prediction"), inside("sampling"):
            items = contract.stream_now(*where, prompts, body.sampling, timeout=timeout)
            # The first item is awaited here, so that what is refused still gets its status.
            first = next(items)
        return respond_stream(_frames(chain([first], items)))
    with place("prediction"), inside("sampling"):
        results = contract.predict_now(*where, prompts, body.sampling, timeout=timeout)
    return respond_json(results[0] if body.prompts is None else {"results": results})


def _frames(items: Iterator[Json]) -> Iterator[str]:
    try:
        for item in items:
            yield frame(item)
    except WorkerError as error:
        yield frame({"type": "error", "error": describe(error).to_json()})
