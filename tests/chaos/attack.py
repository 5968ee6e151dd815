"""The faults' side of a system, with what must be remembered between them."""

import signal
import threading
import time
from collections import defaultdict
from collections.abc import Callable
from typing import Any

from tests.chaos.system import LEASE_SECONDS, TRAIN_PARTS, System, kill_group

Recovered = Callable[[], bool]

STOPPED_SECONDS = LEASE_SECONDS + 2.5
LASTS_SECONDS = 4.0  # of a fault that is undone again
STEADY_SECONDS, KILLS_WHILE_UNSTEADY = 60.0, 2


class Attack:
    """Kills of one part leave it the time that the supervisor's growing pauses need."""

    def __init__(self, system: System) -> None:
        self.system = system
        self._timers: list[threading.Timer] = []
        self._killed_at: dict[str, list[float]] = defaultdict(list)

    def may_kill(self, part: str) -> bool:
        """Whether a part has been left alone enough."""
        recent = [at for at in self._killed_at[part] if time.monotonic() - at < STEADY_SECONDS]
        return len(recent) < KILLS_WHILE_UNSTEADY and self.system.leader(part) is not None

    def kill_part(self, part: str) -> None:
        """The whole process group, at once."""
        self._killed_at[part].append(time.monotonic())
        kill_group(self.system.service.process_of(part), signal.SIGKILL)

    def end_part(self, part: str) -> None:
        """Ask a part to stop."""
        self._killed_at[part].append(time.monotonic())
        kill_group(self.system.service.process_of(part), signal.SIGTERM)

    def kill(self, part: str) -> Recovered | None:
        """A part that is to come up again."""
        if not self.may_kill(part):
            return None
        recovered = self.system.is_back(part)
        self.kill_part(part)
        return recovered

    def busy_worker(self) -> tuple[str, Any] | None:
        """A training worker in the middle of a slice, and the job's record."""
        for part in self.system.choose.sample(TRAIN_PARTS, len(TRAIN_PARTS)):
            row = self.system.job_of(part)
            if row is not None and row.attempts == 0 and self.system.child(part):
                return part, row
        return None

    def stop(self, part: str, seconds: float) -> Recovered | None:
        """SIGSTOP for a part, SIGCONT after a while; it goes on when any job does after that."""
        leader = self.system.leader(part)
        if leader is None:
            return None
        kill_group(leader, signal.SIGSTOP)
        return self.lasting(lambda: kill_group(leader, signal.SIGCONT), seconds)

    def later(self, undo: Callable[[], None], seconds: float) -> None:
        """Do something after a while."""
        timer = threading.Timer(seconds, undo)
        self._timers.append(timer)
        timer.start()

    def lasting(self, undo: Callable[[], None], seconds: float = LASTS_SECONDS) -> Recovered:
        """Undo a fault after a while; it has recovered when a slice was published after that."""
        seen: list[Recovered] = []

        def undo_and_look() -> None:
            undo()
            seen.append(self.system.goes_on(None))

        self.later(undo_and_look, seconds)
        return lambda: bool(seen) and seen[0]()

    def wait_for_timers(self) -> None:
        """Until everything that lasts is undone."""
        for timer in self._timers:
            timer.join()
