"""What a training tells while it runs."""

from dataclasses import dataclass


@dataclass(frozen=True)
class StepDone:
    """One optimizer step. `loss` is the batch's mean before the step, in nats a token."""

    step: int
    epoch: int
    loss: float
    tokens: int  # targets learned from in this step
    learning_rate: float


@dataclass(frozen=True)
class Evaluated:
    """The training loss since the last evaluation and the held-out loss, in nats a token."""

    step: int
    epoch: int
    train_loss: float
    validation_loss: float | None  # None: nothing is held out
    perplexity: float | None  # exp(validation_loss)
    is_best: bool


@dataclass(frozen=True)
class Sampled:
    """A short text written by the model as it is now."""

    step: int
    text: str


Event = StepDone | Evaluated | Sampled
