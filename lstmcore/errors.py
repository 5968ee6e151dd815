"""Everything that can go wrong in `lstmcore`.

LSTMError
├── ConfigError       a setting was refused; `errors` says which and why
├── CorpusError       a text cannot be read or is of no use; `line` says where, when known
├── TokenizerError    a tokenizer cannot be trained, loaded or applied
├── CheckpointError   a checkpoint or model file is corrupt or truncated
│   └── NewerFormat   a newer version wrote it; that one can read it
├── TrainingError     a training cannot go on; `advice` says what to try
└── PromptError       a prompt cannot be continued

Every message is a sentence for the person who asked. The errors know nothing of HTTP.
"""

from collections.abc import Sequence
from typing import TypedDict


class FieldError(TypedDict):
    """One refused value: where it is (`["model", "layers"]`) and what to do about it."""

    loc: list[str | int]
    msg: str


class LSTMError(Exception):
    """Root of the package's errors."""


class ConfigError(LSTMError):
    """A setting was refused; `errors` names every field that is wrong."""

    def __init__(self, message: str, errors: Sequence[FieldError] = ()) -> None:
        super().__init__(message)
        self.errors: list[FieldError] = list(errors)


class CorpusError(LSTMError):
    """A text cannot be read or is of no use; `line` is its line, counted from 1, when known."""

    def __init__(self, message: str, line: int | None = None) -> None:
        super().__init__(message)
        self.line = line


class TokenizerError(LSTMError):
    """A tokenizer cannot be trained, loaded or applied."""


class CheckpointError(LSTMError):
    """A checkpoint or model file cannot be used here."""


class NewerFormat(CheckpointError):
    """A checkpoint or model file is of a newer format than this version reads."""


class TrainingError(LSTMError):
    """A training cannot go on; `advice` is a sentence that says what to try."""

    def __init__(self, message: str, advice: str = "") -> None:
        super().__init__(message)
        self.advice = advice

    @classmethod
    def diverged(cls, step: int, rate: float) -> "TrainingError":
        """The loss or a gradient is no number any more; the weights before that step are kept."""
        return cls(
            f"The loss became infinite at step {step:,}: the training has run away.",
            f"Lower the learning rate (it was {rate:g}), or clip gradients with clip_norm = 1.",
        )


class PromptError(LSTMError):
    """A prompt cannot be continued."""
