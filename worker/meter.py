"""What a slice tells of itself while it runs: how far it is, how fast, and how long it will take.

The remaining time is that of the training and of the waiting in between: a job that shares the
workers with others waits after every slice, most likely as long as it has waited before this one.
"""

import math
import time
from dataclasses import dataclass

from lstmcore.training import Evaluated, Sampled, StepDone, Trainer
from worker import resources
from worker.keeping import LeaseKeeper
from worker.records import Json, Progress

# The first steps of a slice say little about its speed: the slice before counts for so long.
REMEMBERED_SECONDS = 2.0


@dataclass(frozen=True)
class Pace:
    """How a training goes on from slice to slice."""

    slice_seconds: float  # that a slice trains
    pause_seconds: float = 0.0  # between two slices: waiting, loading and saving
    a_step_before: float | None = None  # seconds a step took in the slice before

    def seconds_a_step(self, seconds: float, steps: int) -> float | None:
        """From `steps` in `seconds` of this slice; None while nobody can know."""
        if self.a_step_before:
            seconds += REMEMBERED_SECONDS
            return seconds / (steps + REMEMBERED_SECONDS / self.a_step_before)
        return seconds / steps if steps else None

    def eta(self, left_seconds: float, into_slice: float) -> float:
        """Seconds until a training ends that has `left_seconds` of steps before it."""
        later = max(0.0, left_seconds - max(0.0, self.slice_seconds - into_slice))
        pauses = math.ceil(later / self.slice_seconds)  # what is not done now waits a whole turn
        return round(left_seconds + pauses * self.pause_seconds, 1)


class Meter:
    """Turns what a trainer yields into progress, metrics and events."""

    def __init__(self, trainer: Trainer, metrics: Json, pace: Pace) -> None:
        self._trainer, self._pace = trainer, pace
        self._began = time.monotonic()
        self.tokens = 0
        self._processor_began = resources.processor_seconds()
        self._most_bytes = 0
        self._at_step: dict[int, Json] = {}
        self.first_step = trainer.step
        self.metrics: Json = dict(metrics)

    @property
    def seconds(self) -> float:
        """How long this slice has trained."""
        return time.monotonic() - self._began

    @property
    def seconds_a_step(self) -> float | None:
        """As measured so far."""
        return self._pace.seconds_a_step(self.seconds, self._trainer.step - self.first_step)

    def note(self, item: StepDone | Evaluated | Sampled, keeper: LeaseKeeper) -> None:
        """Take one item of the run in."""
        if isinstance(item, StepDone):
            self.tokens += item.tokens
            if not self._trainer.history:
                self.metrics["train_loss"] = item.loss
            keeper.report(self.progress(), self.metrics)
        elif isinstance(item, Evaluated):
            self._most_bytes = max(self._most_bytes, resources.resident_bytes())
            self.metrics = {
                "train_loss": item.train_loss,
                "validation_loss": item.validation_loss,
                "validation_perplexity": item.perplexity,
            }
            self._at_step[item.step] = self.metrics
            data = {"step": item.step, "epoch": item.epoch, "is_best": item.is_best} | self.metrics
            keeper.tell("metrics", data, f"metrics:{item.step}")
        else:
            keeper.tell("sample", {"step": item.step, "text": item.text}, f"sample:{item.step}")

    def metrics_at(self, step: int | None) -> Json:
        """The metrics measured at a step of this slice, else the newest ones."""
        return self._at_step.get(step or 0, self.metrics) | {"step": step}

    def used(self) -> Json:
        """What the slice read and what it used of the machine."""
        return {
            "processor_seconds": round(resources.processor_seconds() - self._processor_began, 3),
            "memory_bytes": max(self._most_bytes, resources.resident_bytes()),
        }

    def progress(self) -> Progress:
        """Where the training is now."""
        trainer, steps = self._trainer, self._trainer.step - self.first_step
        left = (trainer.total_steps or trainer.step) - trainer.step
        a_step = self._pace.seconds_a_step(self.seconds, steps)
        return Progress(
            step=trainer.step,
            total_steps=trainer.total_steps,
            epoch=trainer.epoch,
            total_epochs=trainer.total_epochs,
            tokens_per_second=round(self.tokens / self.seconds, 1) if steps else None,
            eta_seconds=None if a_step is None else self._pace.eta(a_step * left, self.seconds),
        )
