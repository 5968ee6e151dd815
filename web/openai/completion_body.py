"""What `completions.create` and `chat.completions.create` send, and the sampling they ask for.

What OpenAI has and we do not is refused unless it is at its neutral value; our own settings come
through `extra_body`.
"""

from typing import Annotated, Any

from pydantic import Field, StringConstraints

from lstmcore.config import LARGEST_SEED
from web.api.parsing import Body
from web.openai.errors import refuse
from worker.records import Json

MOST_TOKENS = 4096
MOST_CHOICES = 16
MOST_LOGPROBS = 5
Stop = Annotated[str, StringConstraints(min_length=1, max_length=64)]


class StreamOptions(Body):
    """What a stream says besides the text."""

    include_usage: bool | None = None
    include_obfuscation: bool | None = None  # changes nothing: nothing is padded here


class SamplingBody(Body):
    """How to continue: OpenAI's settings, then ours."""

    model: str
    temperature: Annotated[float, Field(ge=0, le=5)] | None = None
    top_p: Annotated[float, Field(ge=0, le=1)] | None = None
    n: Annotated[int, Field(ge=1, le=MOST_CHOICES)] | None = None
    stop: Stop | Annotated[list[Stop], Field(max_length=4)] | None = None
    seed: Annotated[int, Field(ge=0, le=LARGEST_SEED)] | None = None
    stream: bool | None = None
    stream_options: StreamOptions | None = None
    user: str | None = None  # accepted and not used
    # Not there, and refused unless neutral.
    presence_penalty: float | None = None
    frequency_penalty: float | None = None
    logit_bias: dict[str, Any] | None = None
    # Ours, through `extra_body`.
    top_k: Annotated[int, Field(ge=0, le=200_000)] | None = None
    min_p: Annotated[float, Field(ge=0, le=1)] | None = None
    repetition_penalty: Annotated[float, Field(gt=0, le=10)] | None = None
    beams: Annotated[int, Field(ge=1, le=64)] | None = None

    def check_supported(self) -> None:
        """Refuse what OpenAI has and we do not."""
        for name in ("presence_penalty", "frequency_penalty"):
            if getattr(self, name):
                refuse(name, "is not supported: use repetition_penalty (through extra_body)")
        if self.logit_bias:
            refuse("logit_bias", "is not supported: leave it out")
        if self.stream_options is not None and not self.stream:
            refuse("stream_options", "needs stream=true")

    def sampling(self, max_tokens: int) -> Json:
        """The settings as `predict_now` takes them."""
        names = ("temperature", "n", "seed", "top_k", "min_p", "repetition_penalty", "beams")
        given = {name: getattr(self, name) for name in names}
        chosen = {name: value for name, value in given.items() if value is not None}
        if self.stop is not None:
            chosen["stop"] = [self.stop] if isinstance(self.stop, str) else list(self.stop)
        if self.top_p == 0:
            chosen["top_k"] = 1  # what nothing of the probability leaves: the likeliest token
        elif self.top_p is not None:
            chosen["top_p"] = self.top_p
        return chosen | {"max_tokens": max_tokens}

    @property
    def tells_usage(self) -> bool:
        """Whether a stream ends with the counts."""
        return bool(self.stream_options and self.stream_options.include_usage)


class CompletionBody(SamplingBody):
    """A prompt or several, and how to continue them."""

    prompt: str | list[Any] | None = None
    max_tokens: Annotated[int, Field(ge=0, le=MOST_TOKENS)] | None = None
    logprobs: Annotated[int, Field(ge=0, le=MOST_LOGPROBS)] | None = None
    echo: bool | None = None
    best_of: int | None = None
    suffix: str | None = None

    def check_supported(self) -> None:
        """Refuse what OpenAI has and we do not."""
        super().check_supported()
        if self.suffix:
            refuse("suffix", "is not supported: an LSTM reads from left to right only")
        if self.best_of not in (None, 1, self.n or 1):
            refuse("best_of", "is not supported: use beams (through extra_body)")

    def prompts(self) -> list[str]:
        """The prompts, in order."""
        if isinstance(self.prompt, str):
            return [self.prompt]
        if self.prompt is None:
            return [""]
        if not self.prompt:
            refuse("prompt", "has no prompt: give a text or a list of texts")
        if not all(isinstance(prompt, str) for prompt in self.prompt):
            refuse(
                "prompt", "must be a text or a list of texts: numbers of tokens differ per model"
            )
        return self.prompt


class Message(Body):
    """Something said in a conversation."""

    role: str
    content: str | list[Any] | None = None
    name: str | None = None


class ChatBody(SamplingBody):
    """A conversation to continue."""

    messages: Annotated[list[Message], Field(min_length=1, max_length=1000)]
    max_tokens: Annotated[int, Field(ge=0, le=MOST_TOKENS)] | None = None
    max_completion_tokens: Annotated[int, Field(ge=0, le=MOST_TOKENS)] | None = None

    def prompt(self) -> str:
        """What was asked since the last answer, as trainings on conversations read them."""
        said: list[str] = []
        for place, message in enumerate(self.messages):
            if message.role == "assistant":
                said = []
            elif message.role == "user":
                said.append(_text_of(message, place).strip())
            elif message.role not in ("system", "developer"):
                refuse(f"messages.{place}.role", "must be system, developer, user or assistant")
        if not said:
            refuse("messages", "must end with something that a user says")
        return "\n".join(said)


def _text_of(message: Message, place: int) -> str:
    content = message.content
    if isinstance(content, str):
        return content
    parts = content or []
    if not all(isinstance(p, dict) and isinstance(p.get("text"), str) for p in parts):
        refuse(f"messages.{place}.content", "must be text: these models read nothing else")
    return "".join(part["text"] for part in parts)
