"""`POST /models/{…}/predict`: an answer now or never; nothing is recorded."""

from collections.abc import Iterator
from itertools import chain
from typing import Any

from flask import Blueprint, Response
from pydantic import Field

from web.api.parsing import LONGEST_WAIT_SECONDS, Body, inside, preferred_wait, read_body
from web.api.serialize import respond_json
from web.api.shapes import MODEL_ID
from web.api.sse import HEARTBEAT, frame, respond_stream
from web.auth import current_backend, current_owner
from web.errors import describe
from web.operation import Answer, Raw, about, describes
from web.places import place
from web.roles import needs
from worker import predict as contract
from worker.errors import InvalidInput, WorkerError
from worker.records import Json

predict = Blueprint("predict", __name__, url_prefix="/models")


class PromptBody(Body):
    """One prompt or several, and how to continue them."""

    prompt: str | None = about("A text to go on from.", "what is your", None)
    prompts: list[str] | None = about("Or several.", ["what is", "your name"], None)
    sampling: dict[str, Any] = Field(
        default_factory=dict,
        description="How to continue.",
        examples=[{"max_tokens": 5, "temperature": 0}],
        json_schema_extra={"x-asked": "Sampling"},
    )

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

    stream: bool = about("Send tokens as they come.", False, False)


class TokenChance(Answer):
    """A token and what speaks for it."""

    token: str = about("The token.", "name")
    probability: float = about("Its probability.", 0.8)


class TokenLogprob(Answer):
    """A token and its log probability."""

    token: str = about("The token.", " name")
    logprob: float = about("Its log probability, in nats.", -0.2)


class WrittenToken(TokenLogprob):
    """One token of a continuation."""

    offset: int = about("Where in the text it begins.", 0)
    alternatives: list[TokenLogprob] = Field([], description="The likeliest in its place.")


class Completion(Answer):
    """One continuation."""

    text: str = about("The text.", "name")
    tokens: int = about("Tokens in it.", 1)
    finish_reason: str = about("`stop`: the text ended; `length`: max_tokens.", "stop")
    logprob: float = about("Its log probability, in nats.", -0.2)
    logprobs: list[WrittenToken] = Field(
        [], description="Token by token, when `sampling.logprobs` asks for it."
    )


class PredictionAnswer(Answer):
    """What a model makes of a prompt."""

    completions: list[Completion] = Field(description="The continuations, `n` of them.")
    next_tokens: list[TokenChance] = Field(
        description="The likeliest next tokens, before temperature and filters."
    )
    prompt_tokens: int = about("Tokens read.", 3)
    unknown_tokens: list[str] = about("Of the prompt, what the model does not know.", [])
    notice: str = about("What the reader should know about the prompt, if anything.", "", "")
    model: str = about("The model's id.", MODEL_ID)
    seconds: float = about("Seconds it took.", 0.01)


class PredictionsAnswer(Answer):
    """The same for each of several prompts."""

    results: list[PredictionAnswer] = Field(description="One for each prompt.")


EXAMPLES = {
    "the likeliest next words": {"prompt": "what is your", "sampling": {"temperature": 0}},
    "several prompts": {"prompts": ["what is", "your name"], "sampling": {"max_tokens": 3}},
    "a stream": {"prompt": "what is", "stream": True},
}
STREAMED = 'data: {"type": "token", "text": " name", "index": 0}\n\n'


@predict.post("/<model:reference>/predict")
@needs("viewer")
@describes(
    answers={
        200: (
            PredictionAnswer,
            PredictionsAnswer,
            Raw("text/event-stream", "`token` after `token`, then the `result`.", STREAMED),
        )
    },
    body=PredictNowBody,
    headers=("Prefer",),
    examples=EXAMPLES,
)
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
            yield HEARTBEAT if item["type"] == "quiet" else frame(item)
    except WorkerError as error:
        yield frame({"type": "error", "error": describe(error).to_json()})
