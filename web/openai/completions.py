"""`/completions`: prompts continued."""

from typing import Literal

from flask import Blueprint, Response
from pydantic import BaseModel, Field

from web.api.parsing import read_body
from web.api.shapes import MODEL_ID
from web.openai.answering import Usage, Writer, answer
from web.openai.completion_body import CompletionBody
from web.openai.errors import refuse
from web.openai.lists import OpenaiAnswer
from web.operation import Raw, about, describes
from web.roles import needs
from worker.records import Json

completions = Blueprint("completions", __name__, url_prefix="/completions")

FEW_TOKENS = 16  # what OpenAI writes when not told how many


class Logprobs(BaseModel):
    """Log probabilities of a text's tokens, in nats, before temperature and filters."""

    tokens: list[str] = about("The tokens.", [" name"])
    token_logprobs: list[float] = about("Of each.", [-0.2])
    top_logprobs: list[dict[str, float]] = about("Of the likeliest at its place.", [{" is": -2.0}])
    text_offset: list[int] = about("Where each begins.", [0])


class Choice(BaseModel):
    """One continuation."""

    index: int = about("Which one.", 0)
    text: str = about("The text.", " name")
    logprobs: Logprobs | None = about("When asked for.", None, None)
    finish_reason: Literal["stop", "length"] | None = about("Why it ends.", "stop", None)


class CompletionAnswer(OpenaiAnswer):
    """Continuations, prompt by prompt; also a chunk of a stream."""

    id: str = about("Its id.", "cmpl-0a1b2c3d4e5f60718293a4b5")
    object: Literal["text_completion"] = about("What this is.", *("text_completion",) * 2)
    created: int = about("When, in Unix seconds.", 1_900_000_000)
    model: str = about("Which model wrote it.", "lesson")
    choices: list[Choice] = Field(description="The continuations, prompt by prompt.")
    usage: Usage | None = Field(None, description="Tokens read and written.")
    lstm: list[Json] | None = about("Ours: what else is known of each prompt.", None, None)


EXAMPLES = {
    "the likeliest words": {"model": MODEL_ID, "prompt": "what is your", "temperature": 0},
    "two drawn continuations": {"model": MODEL_ID, "prompt": "what is", "n": 2, "max_tokens": 3},
    "a stream": {"model": MODEL_ID, "prompt": "what is", "stream": True},
}


@completions.post("")
@needs("viewer")
@describes(
    answers={200: (CompletionAnswer, Raw("text/event-stream", "Chunks, then `[DONE]`."))},
    body=CompletionBody,
    refuses=(404,),
    examples=EXAMPLES,
)
def create() -> Response:
    """Continue one prompt or several."""
    body = read_body(CompletionBody)
    body.check_supported()
    prompts = body.prompts()
    sampling = body.sampling(FEW_TOKENS if body.max_tokens is None else body.max_tokens)
    if body.logprobs is not None:
        if body.echo:
            refuse("echo", "does not go with logprobs: those of a prompt are not known")
        sampling |= {"logprobs": True, "alternatives": body.logprobs}
    return answer(body, prompts, sampling, _Writer(body, prompts))


class _Writer(Writer):
    prefix = "cmpl-"

    def __init__(self, body: CompletionBody, prompts: list[str]) -> None:
        super().__init__(body)
        self._before = prompts if body.echo else [""] * len(prompts)

    def whole(self, results: list[Json]) -> OpenaiAnswer:
        choices = [
            self._choice(at * self.n + number, self._before[at] + text["text"], text)
            for at, result in enumerate(results)
            for number, text in enumerate(result["completions"])
        ]
        return self._say(choices, Usage.of(results), [_extras(result) for result in results])

    def opening(self, index: int) -> OpenaiAnswer | None:
        before = self._before[index // self.n]
        return self.piece(index, before) if before else None

    def piece(self, index: int, text: str) -> OpenaiAnswer:
        return self._say([Choice(index=index, text=text)])

    def ending(self, index: int, completion: Json) -> OpenaiAnswer:
        return self._say([self._choice(index, "", completion)])

    def usage(self, usage: Usage) -> OpenaiAnswer:
        return self._say([], usage)

    def _choice(self, index: int, text: str, completion: Json) -> Choice:
        return Choice(
            index=index,
            text=text,
            logprobs=_logprobs(completion),
            finish_reason=completion["finish_reason"],
        )

    def _say(
        self, choices: list[Choice], usage: Usage | None = None, lstm: list[Json] | None = None
    ) -> CompletionAnswer:
        return CompletionAnswer(
            id=self.id,
            created=self.created,
            model=self.model,
            choices=choices,
            usage=usage,
            lstm=lstm,
        )


def _logprobs(completion: Json) -> Logprobs | None:
    if "logprobs" not in completion:
        return None
    tokens = completion["logprobs"]
    return Logprobs(
        tokens=[token["token"] for token in tokens],
        token_logprobs=[token["logprob"] for token in tokens],
        top_logprobs=[
            {each["token"]: each["logprob"] for each in token.get("alternatives", [])}
            for token in tokens
        ],
        text_offset=[token["offset"] for token in tokens],
    )


def _extras(result: Json) -> Json:
    return {
        name: result[name]
        for name in ("next_tokens", "unknown_tokens", "notice", "model")
        if name in result
    }
