"""What `completions.create` and `chat.completions.create` send, and the sampling they ask for.

What OpenAI has and we do not is refused unless it is at its neutral value; our own settings come
through `extra_body`.
"""

from typing import Annotated, Any

from pydantic import Field, StringConstraints

from lstmcore.config import LARGEST_SEED
from web.api.parsing import Body
from web.openai.errors import refuse
from web.operation import about
from worker.records import Json

MOST_TOKENS = 4096
MOST_CHOICES = 16
MOST_LOGPROBS = 5
Stop = Annotated[str, StringConstraints(min_length=1, max_length=64)]


class StreamOptions(Body):
    """What a stream says besides the text."""

    include_usage: bool | None = about("End with the counts of tokens.", True, None)
    include_obfuscation: bool | None = about(
        "Changes nothing: nothing is padded here.", False, None
    )


class SamplingBody(Body):
    """How to continue: OpenAI's settings, then ours."""

    model: str = about("The id or name of a model.", "lesson")
    temperature: Annotated[float, Field(ge=0, le=5)] | None = about(
        "0: always the likeliest.", 0.8, None
    )
    top_p: Annotated[float, Field(ge=0, le=1)] | None = about(
        "Choose among the likeliest that add up to this share.", 0.9, None
    )
    n: Annotated[int, Field(ge=1, le=MOST_CHOICES)] | None = about(
        "How many continuations.", 1, None
    )
    stop: Stop | Annotated[list[Stop], Field(max_length=4)] | None = about(
        "End before one of these texts.", ["."], None
    )
    seed: Annotated[int, Field(ge=0, le=LARGEST_SEED)] | None = about(
        "Same seed, same text.", 1, None
    )
    stream: bool | None = about("Send chunks as they come.", False, None)
    stream_options: StreamOptions | None = Field(
        None, description="What a stream says besides the text."
    )
    user: str | None = about("Accepted and not used.", "ann", None)
    # Not there, and refused unless neutral.
    presence_penalty: float | None = about("Only 0: use repetition_penalty.", 0, None)
    frequency_penalty: float | None = about("Only 0: use repetition_penalty.", 0, None)
    logit_bias: dict[str, Any] | None = about("Only empty.", {}, None)
    # Ours, through `extra_body`.
    top_k: Annotated[int, Field(ge=0, le=200_000)] | None = about(
        "Ours: choose among so many tokens.", 40, None
    )
    min_p: Annotated[float, Field(ge=0, le=1)] | None = about(
        "Ours: leave out tokens below this share of the likeliest one's.", 0.05, None
    )
    repetition_penalty: Annotated[float, Field(gt=0, le=10)] | None = about(
        "Ours: above 1, what is written already becomes less likely.", 1.2, None
    )
    beams: Annotated[int, Field(ge=1, le=64)] | None = about(
        "Ours: above 1, search so wide instead of drawing.", 4, None
    )

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

    prompt: str | list[Any] | None = about("A text, or several.", "what is your", None)
    max_tokens: Annotated[int, Field(ge=0, le=MOST_TOKENS)] | None = about(
        "Write at most so many tokens.", 20, None
    )
    logprobs: Annotated[int, Field(ge=0, le=MOST_LOGPROBS)] | None = about(
        "Also tell the log probability of each token, and so many others.", 1, None
    )
    echo: bool | None = about("Say the prompt first.", False, None)
    best_of: int | None = about("Only 1: use beams.", 1, None)
    suffix: str | None = about("Only empty: an LSTM reads from left to right.", "", None)

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

    role: str = about("Who said it.", "user")
    content: str | list[Any] | None = about("What was said.", "what is your", None)
    name: str | None = about("Accepted and not used.", "ann", None)


class ChatBody(SamplingBody):
    """A conversation to continue."""

    messages: Annotated[list[Message], Field(min_length=1, max_length=1000)] = Field(
        description="What was said so far."
    )
    max_tokens: Annotated[int, Field(ge=0, le=MOST_TOKENS)] | None = about(
        "Write at most so many tokens.", 20, None
    )
    max_completion_tokens: Annotated[int, Field(ge=0, le=MOST_TOKENS)] | None = about(
        "The newer name of max_tokens.", 20, None
    )

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
