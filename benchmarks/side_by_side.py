"""Measuring rivals side by side in one run, and saying what came of it.

The machine is shared and its speed changes from minute to minute, so rivals take turns and ratios
are taken within a round; the median round counts. Time is the CPU time of this process unless a
benchmark says otherwise: what other programs do beside it is not its merit or fault.
"""

import statistics
import sys
import time
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field

Seconds = dict[str, list[float]]  # of each rival, one number a round


def take_turns(
    rivals: Mapping[str, Callable[[], object]],
    rounds: int,
    *,
    warm_up: int = 1,
    clock: Callable[[], float] = time.process_time,
) -> Seconds:
    """Let each rival work once a round; the first `warm_up` rounds do not count."""
    seconds: Seconds = {name: [] for name in rivals}
    for number in range(warm_up + rounds):
        for name, work in rivals.items():
            began = clock()
            work()
            if number >= warm_up:
                seconds[name].append(clock() - began)
    return seconds


def times_as_fast(seconds: Seconds, one: str, other: str) -> float:
    """How many times as fast as `other` the rival `one` was, in the median round."""
    pairs = zip(seconds[other], seconds[one], strict=True)
    return statistics.median(slow / fast for slow, fast in pairs)


@dataclass
class Table:
    """Lines of what was measured, what should be reached, and whether it was."""

    title: str
    rows: list[tuple[str, str, str, str]] = field(default_factory=list)

    def add(self, what: str, measured: str) -> None:
        """A figure that nothing depends on."""
        self.rows.append((what, measured, "", ""))

    def judge(self, what: str, value: float, *, least: float | None = None,
              most: float | None = None, unit: str = "x") -> None:  # fmt: skip
        """A figure with a reach: at least or at most so much."""
        limit = least if least is not None else most
        if limit is None:
            raise ValueError("a figure is judged by a limit")
        value = round(value, 2)  # no finer than the rounds agree
        met = value >= limit if least is not None else value <= limit
        sign = "≥" if least is not None else "≤"
        verdict = "reached" if met else "NOT reached"
        self.rows.append((what, f"{value:.2f}{unit}", f"{sign} {limit:g}{unit}", verdict))

    def print(self) -> None:
        """Write the table to standard output, as Markdown."""
        head = (self.title, "measured", "reach", "verdict")
        widths = [max(len(row[n]) for row in (head, *self.rows)) for n in range(len(head))]
        lines = [head, tuple("-" * width for width in widths), *self.rows]
        for line in lines:
            cells = (cell.ljust(width) for cell, width in zip(line, widths, strict=True))
            sys.stdout.write(f"| {' | '.join(cells)} |\n")
        sys.stdout.write("\n")
        sys.stdout.flush()
