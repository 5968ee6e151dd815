"""`/chat/completions`: conversations, for models that were trained on conversations.

A training on `{"messages": […]}` learns the answer to what was said since the answer before. That
is what is asked here too; what was said earlier is not read.
"""

from typing import Literal

from flask import Blueprint, Response
from pydantic import BaseModel

from web.api.parsing import read_body
from web.openai.answering import Usage, Writer, answer
from web.openai.completion_body import ChatBody
from web.openai.lists import Answer
from web.roles import needs
from worker.records import Json

chat = Blueprint("chat", __name__, url_prefix="/chat/completions")

MANY_TOKENS = 256  # OpenAI writes until the model ends; these models often do not


class MessageAnswer(BaseModel):
    """What the model says."""

    role: Literal["assistant"] = "assistant"
    content: str
    refusal: None = None


class Delta(BaseModel):
    """A piece of it."""

    role: Literal["assistant"] | None = None
    content: str | None = None


class ChatChoice(BaseModel):
    """One answer."""

    index: int
    message: MessageAnswer
    logprobs: None = None
    finish_reason: Literal["stop", "length"]


class ChunkChoice(BaseModel):
    """A piece of one answer."""

    index: int
    delta: Delta
    finish_reason: Literal["stop", "length"] | None = None


class ChatAnswer(Answer):
    """Answers to a conversation."""

    id: str
    object: Literal["chat.completion"] = "chat.completion"
    created: int
    model: str
    choices: list[ChatChoice]
    usage: Usage


class ChatChunk(Answer):
    """A chunk of a stream of them."""

    id: str
    object: Literal["chat.completion.chunk"] = "chat.completion.chunk"
    created: int
    model: str
    choices: list[ChunkChoice]
    usage: Usage | None = None


@chat.post("")
@needs("viewer")
def create() -> Response:
    """Answer the last thing that was said."""
    body = read_body(ChatBody)
    body.check_supported()
    given = (body.max_completion_tokens, body.max_tokens, MANY_TOKENS)
    sampling = body.sampling(next(tokens for tokens in given if tokens is not None))
    return answer(body, [body.prompt()], sampling, _Writer(body))


class _Writer(Writer):
    prefix = "chatcmpl-"

    def whole(self, results: list[Json]) -> Answer:
        choices = [
            ChatChoice(
                index=index,
                message=MessageAnswer(content=text["text"].strip()),
                finish_reason=text["finish_reason"],
            )
            for index, text in enumerate(results[0]["completions"])
        ]
        return ChatAnswer(
            id=self.id,
            created=self.created,
            model=self.model,
            choices=choices,
            usage=Usage.of(results),
        )

    def opening(self, index: int) -> Answer | None:
        return self._say(index, Delta(role="assistant", content=""))

    def piece(self, index: int, text: str) -> Answer:
        return self._say(index, Delta(content=text))

    def ending(self, index: int, completion: Json) -> Answer:
        return self._say(index, Delta(), completion["finish_reason"])

    def usage(self, usage: Usage) -> Answer:
        return self._chunk([], usage)

    def _say(
        self, index: int, delta: Delta, reason: Literal["stop", "length"] | None = None
    ) -> Answer:
        return self._chunk([ChunkChoice(index=index, delta=delta, finish_reason=reason)])

    def _chunk(self, choices: list[ChunkChoice], usage: Usage | None = None) -> Answer:
        return ChatChunk(
            id=self.id, created=self.created, model=self.model, choices=choices, usage=usage
        )
