"""`/chat/completions`: conversations, for models that were trained on conversations.

A training on `{"messages": […]}` learns the answer to what was said since the answer before. That
is what is asked here too; what was said earlier is not read.
"""

from typing import Literal

from flask import Blueprint, Response
from pydantic import BaseModel, Field

from web.api.parsing import read_body
from web.api.shapes import MODEL_ID
from web.openai.answering import Usage, Writer, answer
from web.openai.completion_body import ChatBody
from web.openai.lists import OpenaiAnswer
from web.operation import Raw, about, describes
from web.roles import needs
from worker.records import Json

chat = Blueprint("chat", __name__, url_prefix="/chat/completions")

MANY_TOKENS = 256  # OpenAI writes until the model ends; these models often do not


class MessageAnswer(BaseModel):
    """What the model says."""

    role: Literal["assistant"] = about("Who says it.", "assistant", "assistant")
    content: str = about("What is said.", "Paris")
    refusal: None = about("Never: a model without a will.", None, None)


class Delta(BaseModel):
    """A piece of it."""

    role: Literal["assistant"] | None = about("Who says it.", "assistant", None)
    content: str | None = about("What is said.", "Par", None)


class ChatChoice(BaseModel):
    """One answer."""

    index: int = about("Which one.", 0)
    message: MessageAnswer = Field(description="The answer.")
    logprobs: None = about("Not told in chats.", None, None)
    finish_reason: Literal["stop", "length"] = about("Why it ends.", "stop")


class ChunkChoice(BaseModel):
    """A piece of one answer."""

    index: int = about("Of which answer.", 0)
    delta: Delta = Field(description="What comes next in it.")
    finish_reason: Literal["stop", "length"] | None = about("Why it ends.", "stop", None)


class ChatAnswer(OpenaiAnswer):
    """Answers to a conversation."""

    id: str = about("Its id.", "chatcmpl-0a1b2c3d4e5f60718293a4b5")
    object: Literal["chat.completion"] = about("What this is.", *("chat.completion",) * 2)
    created: int = about("When, in Unix seconds.", 1_900_000_000)
    model: str = about("Which model wrote it.", "lesson")
    choices: list[ChatChoice] = Field(description="The answers.")
    usage: Usage = Field(description="Tokens read and written.")


class ChatChunk(OpenaiAnswer):
    """A chunk of a stream of them."""

    id: str = about("Its id.", "chatcmpl-0a1b2c3d4e5f60718293a4b5")
    object: Literal["chat.completion.chunk"] = about(
        "What this is.", *("chat.completion.chunk",) * 2
    )
    created: int = about("When, in Unix seconds.", 1_900_000_000)
    model: str = about("Which model writes it.", "lesson")
    choices: list[ChunkChoice] = Field(description="Pieces of answers.")
    usage: Usage | None = Field(None, description="In the last chunk, when asked for.")


EXAMPLES = {
    "a question": {
        "model": MODEL_ID,
        "messages": [{"role": "user", "content": "what is your"}],
        "max_tokens": 3,
    }
}


@chat.post("")
@needs("viewer")
@describes(
    answers={200: (ChatAnswer, Raw("text/event-stream", "Chunks, then `[DONE]`."))},
    body=ChatBody,
    refuses=(404,),
    examples=EXAMPLES,
)
def create() -> Response:
    """Answer the last thing that was said."""
    body = read_body(ChatBody)
    body.check_supported()
    given = (body.max_completion_tokens, body.max_tokens, MANY_TOKENS)
    sampling = body.sampling(next(tokens for tokens in given if tokens is not None))
    return answer(body, [body.prompt()], sampling, _Writer(body))


class _Writer(Writer):
    prefix = "chatcmpl-"

    def whole(self, results: list[Json]) -> OpenaiAnswer:
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

    def opening(self, index: int) -> OpenaiAnswer | None:
        return self._say(index, Delta(role="assistant", content=""))

    def piece(self, index: int, text: str) -> OpenaiAnswer:
        return self._say(index, Delta(content=text))

    def ending(self, index: int, completion: Json) -> OpenaiAnswer:
        return self._say(index, Delta(), completion["finish_reason"])

    def usage(self, usage: Usage) -> OpenaiAnswer:
        return self._chunk([], usage)

    def _say(
        self, index: int, delta: Delta, reason: Literal["stop", "length"] | None = None
    ) -> OpenaiAnswer:
        return self._chunk([ChunkChoice(index=index, delta=delta, finish_reason=reason)])

    def _chunk(self, choices: list[ChunkChoice], usage: Usage | None = None) -> OpenaiAnswer:
        return ChatChunk(
            id=self.id, created=self.created, model=self.model, choices=choices, usage=usage
        )
