"""What was done so far, counted in Redis by every process of the service and shown as one sum.

For Prometheus, whose counters may start anew at any moment: a lost count, or a wiped Redis, loses
nothing else. Labels come from closed sets and name no owner, job or model.
"""

from bisect import bisect_left
from collections.abc import Iterable, Mapping
from dataclasses import dataclass

SEPARATOR = "|"  # between the parts of a field in Redis; no label holds one


@dataclass(frozen=True)
class Counter:
    """A sum that grows. Its Prometheus name is `lstmq_NAME_total`."""

    name: str
    help: str
    labels: tuple[str, ...] = ()

    def fields(self, amount: float, *labels: str) -> dict[str, float]:
        """What to add where."""
        return {SEPARATOR.join((self.name, *labels)): amount}


@dataclass(frozen=True)
class Histogram:
    """How often which value was seen. `bounds` are the upper ends of its buckets, in `unit`."""

    name: str
    help: str
    bounds: tuple[float, ...]
    labels: tuple[str, ...] = ()

    def fields(self, value: float, *labels: str) -> dict[str, float]:
        """What to add where: one bucket, and the sum. Buckets are made cumulative when shown."""
        place = bisect_left(self.bounds, value)
        bound = "+Inf" if place == len(self.bounds) else str(float(self.bounds[place]))
        head = SEPARATOR.join((self.name, *labels))
        return {f"{head}{SEPARATOR}{bound}": 1, f"{head}{SEPARATOR}sum": value}


SLICES = Counter("slices", "Slices of work that were published.", ("kind",))
SLICE_SECONDS = Histogram(
    "slice_seconds", "Seconds a training slice trained.", (0.5, 1, 2, 5, 10, 20, 30, 60, 120, 300)
)
SAVE_SECONDS = Counter("slice_save_seconds", "Seconds spent writing checkpoints and models.")
TRAINED_TOKENS = Counter("trained_tokens", "Tokens trained on, in published slices.")
# reason: child_died, worker_lost, postponed
RECOVERIES = Counter("recoveries", "Slices that were lost and are done again.", ("kind", "reason"))
REMINDERS = Counter("reminders", "Messages that the sweep sent again.", ("kind",))
PREDICTION_SECONDS = Histogram(
    "prediction_seconds",
    "Seconds a predictor took to answer a request.",
    (0.001, 0.0025, 0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1, 2.5, 5, 10, 30, 60),
)
MODEL_LOADS = Counter("model_lookups", "Models a predictor needed, by where it was.", ("cache",))

# What a slice tells of itself and is counted.
MEASURED = (("seconds", SLICE_SECONDS), ("save_seconds", SAVE_SECONDS), ("tokens", TRAINED_TOKENS))

COUNTERS = (SLICES, SAVE_SECONDS, TRAINED_TOKENS, RECOVERIES, REMINDERS, MODEL_LOADS)
HISTOGRAMS = (SLICE_SECONDS, PREDICTION_SECONDS)


def of_slice(kind: str, told: Mapping[str, float]) -> list[dict[str, float]]:
    """What a published slice adds."""
    additions = [SLICES.fields(1, kind)]
    return additions + [counter.fields(told[name]) for name, counter in MEASURED if name in told]


def counted(counts: Mapping[str, float], counter: Counter) -> Iterable[tuple[list[str], float]]:
    """(labels, sum) of everything counted under `counter`."""
    for field, value in counts.items():
        name, *labels = field.split(SEPARATOR)
        if name == counter.name and len(labels) == len(counter.labels):
            yield labels, value


def distribution(
    counts: Mapping[str, float], histogram: Histogram
) -> Iterable[tuple[list[str], list[tuple[str, float]], float]]:
    """(labels, cumulative buckets by upper bound, sum) of everything seen under `histogram`."""
    seen: dict[tuple[str, ...], dict[str, float]] = {}
    for field, value in counts.items():
        name, *labels = field.split(SEPARATOR)
        if name == histogram.name and len(labels) == len(histogram.labels) + 1:
            seen.setdefault(tuple(labels[:-1]), {})[labels[-1]] = value
    for group, values in seen.items():
        buckets, below = [], 0.0
        for bound in (*(str(float(bound)) for bound in histogram.bounds), "+Inf"):
            below += values.get(bound, 0.0)
            buckets.append((bound, below))
        yield list(group), buckets, values.get("sum", 0.0)
