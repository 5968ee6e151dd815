"""Ends a predictor that hangs: it has no parent that could, so it does it by itself.

faulthandler's own thread, written in C, ends the process when it is not told in time that there was
a step; it needs no interpreter, which the code that hangs may hold. Whoever started the predictor
(`lstmq up`, Docker) starts another one, and its job's lease runs out.
"""

import faulthandler
import time

STANDARD_ERROR = 2
_REARM_SECONDS = 1.0  # arming costs a thread: not at every step


class Fuse:
    """Use as a context around work; say `step` at every sign of life."""

    def __init__(self, seconds: float) -> None:
        """`seconds` without a step end the process."""
        self._seconds = seconds
        self._rearm = min(_REARM_SECONDS, seconds / 4)
        self._armed_at = 0.0
        self._depth = 0

    def __enter__(self) -> "Fuse":
        self._depth += 1
        self._armed_at = 0.0
        self.step()
        return self

    def __exit__(self, *_: object) -> None:
        self._depth -= 1
        if not self._depth:
            faulthandler.cancel_dump_traceback_later()

    def step(self) -> None:
        """Something was done."""
        now = time.monotonic()
        if self._depth and now - self._armed_at >= self._rearm:
            self._armed_at = now
            # To where a process writes its last words, whatever stands for sys.stderr.
            faulthandler.dump_traceback_later(self._seconds, exit=True, file=STANDARD_ERROR)
