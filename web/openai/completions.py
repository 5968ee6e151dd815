"""`/completions`: prompts continued."""

from typing import Literal

from flask import Blueprint, Response
from pydantic import BaseModel

from web.api.parsing import read_body
from web.openai.answering import Usage, Writer, answer
from web.openai.completion_body import CompletionBody
from web.openai.errors import refuse
from web.openai.lists import Answer
from web.roles import needs
from worker.records import Json

completions = Blueprint("completions", __name__, url_prefix="/completions")

FEW_TOKENS = 16  # what OpenAI writes when not told how many


class Logprobs(BaseModel):
    """Log probabilities of a text's tokens, in nats, before temperature and filters."""

    tokens: list[str]
    token_logprobs: list[float]
    top_logprobs: list[dict[str, float]]
    text_offset: list[int]


class Choice(BaseModel):
    """One continuation."""

    index: int
    text: str
    logprobs: Logprobs | None = None
    finish_reason: Literal["stop", "length"] | None = None


class CompletionAnswer(Answer):
    """Continuations, prompt by prompt; also a chunk of a stream."""

    id: str
    object: Literal["text_completion"] = "text_completion"
    created: int
    model: str
    choices: list[Choice]
    usage: Usage | None = None
    lstm: list[Json] | None = None  # ours: what else is known of each prompt


@completions.post("")
@needs("viewer")
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

    def whole(self, results: list[Json]) -> Answer:
        choices = [
            self._choice(at * self.n + number, self._before[at] + text["text"], text)
            for at, result in enumerate(results)
            for number, text in enumerate(result["completions"])
        ]
        return self._say(choices, Usage.of(results), [_extras(result) for result in results])

    def opening(self, index: int) -> Answer | None:
        before = self._before[index // self.n]
        return self.piece(index, before) if before else None

    def piece(self, index: int, text: str) -> Answer:
        return self._say([Choice(index=index, text=text)])

    def ending(self, index: int, completion: Json) -> Answer:
        return self._say([self._choice(index, "", completion)])

    def usage(self, usage: Usage) -> Answer:
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
