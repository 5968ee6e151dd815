"""What a sweep tries: the settings of every trial, from a space of values.

A space names settings by their path, `{"model.hidden_dim": [64, 128], "training.learning_rate":
{"min": 1e-4, "max": 1e-2, "scale": "log"}}`. A grid takes every combination of the listed values, a
random search draws each value on its own. The same space and seed give the same trials everywhere.
"""

import math
import random
from collections.abc import Mapping
from itertools import product
from typing import Annotated, Any, Literal

from pydantic import BaseModel, ConfigDict, Field, ValidationError, model_validator

from worker.errors import InvalidInput
from worker.records import Json

MOST_TRIALS = 64
MOST_SETTINGS = 12
MOST_VALUES = 32
Method = Literal["grid", "random"]
Value = str | bool | int | float | None


class Range(BaseModel):
    """A number between two others, both included; for random search."""

    model_config = ConfigDict(extra="forbid", frozen=True, strict=True, allow_inf_nan=False)

    min: int | float
    max: int | float
    scale: Literal["linear", "log"] = "linear"

    @model_validator(mode="after")
    def _in_order(self) -> "Range":
        if self.min > self.max:
            raise ValueError("`min` is larger than `max`")
        if self.scale == "log" and self.min <= 0:
            raise ValueError("a log scale needs a `min` above 0")
        return self

    def draw(self, chance: random.Random) -> int | float:
        """A value: a whole number when both ends are."""
        whole = isinstance(self.min, int) and isinstance(self.max, int)
        if self.scale == "log":
            value = math.exp(chance.uniform(math.log(self.min), math.log(self.max)))
            value = min(max(value, self.min), self.max)
            return round(value) if whole else float(f"{value:.4g}")
        if whole:
            return chance.randint(int(self.min), int(self.max))
        return float(f"{chance.uniform(self.min, self.max):.4g}")


Values = Annotated[list[Value], Field(min_length=1, max_length=MOST_VALUES)]


class _Space(BaseModel):
    """Checked as a whole, so that every mistake is told at once."""

    model_config = ConfigDict(extra="forbid", strict=True)

    space: Annotated[dict[str, Values | Range], Field(min_length=1, max_length=MOST_SETTINGS)]


def settings_of_trials(
    space: Mapping[str, Any], method: Method, trials: int | None, seed: int
) -> list[dict[str, Value]]:
    """What each trial tries: {path: value}, one for each trial.

    Raises InvalidInput for a space that cannot be read, ranges in a grid, or too many trials.
    """
    checked = _parse(space)
    if method == "grid":
        return _grid(checked)
    if trials is None or not 1 <= trials <= MOST_TRIALS:
        raise _refused(["trials"], f"a random search needs 1 to {MOST_TRIALS} `trials`")
    chance = random.Random(seed)  # noqa: S311 - repeatable, not secret
    drawn: list[dict[str, Value]] = []
    for _ in range(trials * 20):  # small spaces repeat themselves
        settings = {
            path: values.draw(chance) if isinstance(values, Range) else chance.choice(values)
            for path, values in checked.items()
        }
        if settings not in drawn:
            drawn.append(settings)
        if len(drawn) == trials:
            break
    return drawn


def with_settings(config: Json, settings: Mapping[str, Value]) -> Json:
    """A configuration as a user would send it, with some of its settings replaced."""
    result: Json = {**config}
    for path, value in settings.items():
        *rooms, name = path.split(".")
        inner = result
        for room in rooms:
            known = inner.get(room)
            inner[room] = {**known} if isinstance(known, dict) else {}
            inner = inner[room]
        inner[name] = value
    return result


def _parse(space: Mapping[str, Any]) -> dict[str, list[Value] | Range]:
    try:
        return _Space.model_validate({"space": space}).space
    except ValidationError as error:
        errors: list[Any] = [
            {"loc": [str(part) for part in one["loc"][:2]], "msg": _words(one["msg"])}
            for one in error.errors()
        ]
        raise InvalidInput("The space cannot be read.", errors) from None


def _words(message: str) -> str:
    said = message.removeprefix("Value error, ")
    return f'{said}; give a list of values or {{"min": …, "max": …, "scale": "linear" or "log"}}'


def _grid(space: dict[str, list[Value] | Range]) -> list[dict[str, Value]]:
    lists: list[list[Value]] = []
    for path, values in space.items():
        if isinstance(values, Range):
            raise _refused(["space", path], "a grid needs a list of values; ranges are for random")
        lists.append(values)
    count = math.prod(len(values) for values in lists)
    if count > MOST_TRIALS:
        raise _refused(
            ["space"],
            f"this grid has {count:,} combinations, at most {MOST_TRIALS} are tried: "
            'list fewer values, or use "random"',
        )
    return [dict(zip(space, combination, strict=True)) for combination in product(*lists)]


def _refused(place: list[str | int], message: str) -> InvalidInput:
    return InvalidInput(message, [{"loc": place, "msg": message}])
