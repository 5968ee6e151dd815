"""How far a training is: the numbers that change while it runs, and what they say is due next.

Everything is counted in steps, never in seconds, so that a training which was stopped and resumed
decides as one that ran through. The one exception, a time limit, is turned into steps once.
"""

from pydantic import BaseModel, ConfigDict, Field, model_validator

# The speed is measured for so many steps and for so much of a time limit: a few steps are soon
# disturbed, and the first moments of a program are not like the rest.
TIMED_STEPS = 20
TIMED_SHARE = 0.02
MOST_TIMED_SHARE = 0.1  # which is enough however few the steps
GENEROUS = 2.0  # times what is needed, a limit is not measured further
TIME_FOR_STEPS = 0.9  # of the time limit; evaluations and checkpoints take the rest
EVALUATIONS = 25  # in a whole training, about
FEWEST_EVALUATIONS = 4
EVALUATION_SHARE = 0.08  # of the time, at most about
FORWARD_COST = 1 / 3  # of reading a token, compared with learning from it


class HistoryPoint(BaseModel):
    """One evaluation, in nats a token."""

    model_config = ConfigDict(extra="forbid", frozen=True, allow_inf_nan=False)

    step: int = Field(ge=1)
    epoch: int = Field(ge=1)
    train_loss: float
    validation_loss: float | None


class Progress(BaseModel):
    """With the tensors of a checkpoint, all that a training needs to go on."""

    model_config = ConfigDict(extra="forbid", allow_inf_nan=False)

    step: int = Field(0, ge=0)  # optimizer steps taken
    total_steps: int = Field(ge=1)
    time_limited: bool = False  # total_steps comes from max_seconds
    timed: bool = True  # total_steps is final; False while the speed is still measured
    timed_steps: int = Field(0, ge=0)
    timed_seconds: float = Field(0.0, ge=0)
    loss_sum: float = 0.0  # of the targets learned from since the last evaluation
    loss_tokens: int = Field(0, ge=0)
    last_loss: float = 0.0
    sampled_step: int = Field(0, ge=0)
    best_step: int | None = Field(None, ge=1)
    best_loss: float | None = None
    history: list[HistoryPoint] = []

    @model_validator(mode="after")
    def _in_order(self) -> "Progress":
        steps = [point.step for point in self.history]
        if steps != sorted(set(steps)) or not (
            max([*steps, self.sampled_step, self.best_step or 0]) <= self.step <= self.total_steps
        ):
            raise ValueError("the steps are not in order")
        if self.best_step is not None and self.best_step not in steps:
            raise ValueError("the best step was never evaluated")
        return self

    @property
    def evaluated_step(self) -> int:
        """The last step that was evaluated; 0 for none."""
        return self.history[-1].step if self.history else 0

    @property
    def evaluations_since_best(self) -> int:
        """How many evaluations brought no progress."""
        return sum(point.step > (self.best_step or 0) for point in self.history)

    def count_step(self, loss: float, tokens: int) -> None:
        """Note one optimizer step and its mean loss over `tokens` targets."""
        self.step += 1
        self.last_loss = loss
        self.loss_sum += loss * tokens
        self.loss_tokens += tokens

    def time_step(self, seconds: float, max_seconds: float, *, warm: bool) -> None:
        """Measure the speed over the first steps, and fix the number of steps from it.

        The first step of a process sets things up and is left out (`warm` is False), unless it
        has used up the time on its own.
        """
        if not warm and seconds < max_seconds:
            return
        self.timed_steps += 1
        self.timed_seconds += seconds
        fitting = self._fitting_steps(max_seconds)
        share = self.timed_seconds / max_seconds
        enough = share >= TIMED_SHARE or fitting >= GENEROUS * self.total_steps
        if share < MOST_TIMED_SHARE and (self.timed_steps < TIMED_STEPS or not enough):
            return
        if fitting < self.total_steps:
            self.total_steps = max(self.step, fitting)
            self.time_limited = True
        self.timed = True

    def expected_steps(self, max_seconds: float | None) -> int:
        """`total_steps`, or while the speed is measured for a time limit, what it looks like."""
        if self.timed or max_seconds is None or not self.timed_steps:
            return self.total_steps
        return max(self.step, min(self.total_steps, self._fitting_steps(max_seconds)))

    def _fitting_steps(self, max_seconds: float) -> int:
        return int(TIME_FOR_STEPS * max_seconds * self.timed_steps / self.timed_seconds)

    def add(self, point: HistoryPoint) -> bool:
        """Note an evaluation; return whether it is the best so far.

        Without held-out text the newest is the best: nothing else can be said of it.
        """
        self.history.append(point)
        self.loss_sum, self.loss_tokens = 0.0, 0
        loss = point.validation_loss
        best = loss is None or self.best_loss is None or loss < self.best_loss
        if best:
            self.best_step, self.best_loss = point.step, loss
        return best


def evaluation_interval(total_steps: int, validation_tokens: int, tokens_a_step: float) -> int:
    """Steps between two evaluations: about 25 in all, fewer when they would take much time."""
    wanted = -(-total_steps // EVALUATIONS)
    cost = validation_tokens * FORWARD_COST / tokens_a_step  # of one, in steps
    return min(max(wanted, int(cost / EVALUATION_SHARE)), max(1, total_steps // FEWEST_EVALUATIONS))
