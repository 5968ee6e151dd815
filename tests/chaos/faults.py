"""What is done to the system. A fault returns how to see that it has recovered, or None: not now.

The kills of one job's child are spaced: the next one comes only after a slice was published, so
that the poison rule (three deaths at one slice) is not what is measured. Kills of one part leave it
the time the supervisor's growing pauses need.
"""

import os
import signal
import threading
import time
from collections import defaultdict
from collections.abc import Callable
from typing import Any

from tests.chaos.system import LEASE_SECONDS, TRAIN_PARTS, System, kill_group

Recovered = Callable[[], bool]
Fault = Callable[["Attack"], Recovered | None]

STOPPED_SECONDS = LEASE_SECONDS + 2.5
PAUSED_MILLISECONDS = 4000
STEADY_SECONDS, KILLS_WHILE_UNSTEADY = 60.0, 2


class Attack:
    """The faults' side of a system, with what must be remembered between them."""

    def __init__(self, system: System) -> None:
        self.system = system
        self.timers: list[threading.Timer] = []
        self._killed_at: dict[str, list[float]] = defaultdict(list)

    def may_kill(self, part: str) -> bool:
        """Whether a part has been left alone enough."""
        recent = [at for at in self._killed_at[part] if time.monotonic() - at < STEADY_SECONDS]
        return len(recent) < KILLS_WHILE_UNSTEADY and self.system.leader(part) is not None

    def kill_part(self, part: str) -> None:
        """The whole process group, at once."""
        self._killed_at[part].append(time.monotonic())
        kill_group(self.system.service.process_of(part), signal.SIGKILL)

    def busy_worker(self) -> tuple[str, Any] | None:
        """A training worker in the middle of a slice, and the job's record."""
        for part in self.system.choose.sample(TRAIN_PARTS, len(TRAIN_PARTS)):
            row = self.system.job_of(part)
            if row is not None and row.attempts == 0 and self.system.child(part):
                return part, row
        return None

    def continue_later(self, resume: Callable[[], None]) -> None:
        """SIGCONT after the lease has run out."""
        timer = threading.Timer(STOPPED_SECONDS, resume)
        self.timers.append(timer)
        timer.start()

    def wait_for_timers(self) -> None:
        """Until everything stopped goes on."""
        for timer in self.timers:
            timer.join()


def kill_child(attack: Attack) -> Recovered | None:
    found = attack.busy_worker()
    child = attack.system.child(found[0]) if found else None
    if found is None or child is None:
        return None
    os.kill(child, signal.SIGKILL)
    return attack.system.goes_on(found[1])


def kill_worker(attack: Attack) -> Recovered | None:
    found = attack.busy_worker()
    if found is None or not attack.may_kill(found[0]):
        return None
    attack.kill_part(found[0])
    return attack.system.goes_on(found[1])


def stop_worker(attack: Attack) -> Recovered | None:
    """A zombie: it wakes up after its job was given to another worker."""
    found = attack.busy_worker()
    if found is None:
        return None
    leader = attack.system.service.process_of(found[0])
    kill_group(leader, signal.SIGSTOP)
    attack.continue_later(lambda: kill_group(leader, signal.SIGCONT))
    return attack.system.goes_on(found[1])


def stop_child(attack: Attack) -> Recovered | None:
    found = attack.busy_worker()
    child = attack.system.child(found[0]) if found else None
    if found is None or child is None:
        return None
    os.kill(child, signal.SIGSTOP)

    def resume() -> None:
        try:
            os.kill(child, signal.SIGCONT)
        except ProcessLookupError:
            return

    attack.continue_later(resume)
    return attack.system.goes_on(found[1])


def damage_checkpoint(attack: Attack) -> Recovered | None:
    """One bit of the newest checkpoint, and the process that might remember it goes too."""
    found = attack.busy_worker()
    folder = attack.system.records.store.folder
    child = attack.system.child(found[0]) if found else None
    if found is None or child is None or folder is None or not found[1].checkpoint:
        return None
    path = folder / found[1].checkpoint["key"]
    try:
        with path.open("r+b") as file:
            file.seek(path.stat().st_size // 2)
            byte = file.read(1)
            file.seek(-1, os.SEEK_CUR)
            file.write(bytes([byte[0] ^ 1]))
    except FileNotFoundError:
        return None
    os.kill(child, signal.SIGKILL)
    return attack.system.goes_on(found[1])


def kill_predictor(attack: Attack) -> Recovered | None:
    return _kill(attack, "predict-1")


def kill_sweeper(attack: Attack) -> Recovered | None:
    return _kill(attack, "sweeper")


def kill_web(attack: Attack) -> Recovered | None:
    is_back = _kill(attack, "web")
    return (lambda: is_back() and attack.system.answers()) if is_back else None


def kill_valkey(attack: Attack) -> Recovered | None:
    back, goes_on = _kill(attack, "queue"), attack.system.goes_on(None)
    return (lambda: back() and goes_on()) if back else None


def _kill(attack: Attack, part: str) -> Recovered | None:
    if not attack.may_kill(part):
        return None
    recovered = attack.system.is_back(part)
    attack.kill_part(part)
    return recovered


def flush(attack: Attack) -> Recovered | None:
    goes_on = attack.system.goes_on(None)
    attack.system.queue.flushall()
    return goes_on


def cut_clients(attack: Attack) -> Recovered | None:
    goes_on = attack.system.goes_on(None)
    for kind in ("normal", "pubsub"):
        attack.system.queue.execute_command("CLIENT", "KILL", "TYPE", kind, "SKIPME", "yes")
    return goes_on


def pause_queue(attack: Attack) -> Recovered | None:
    goes_on = attack.system.goes_on(None)
    attack.system.queue.client_pause(PAUSED_MILLISECONDS)
    return goes_on


# How often each is drawn.
FAULTS: dict[str, tuple[Fault, int]] = {
    "kill -9 training child": (kill_child, 14),
    "kill -9 worker group": (kill_worker, 7),
    "kill -9 predictor": (kill_predictor, 4),
    "kill -9 sweeper": (kill_sweeper, 5),
    "kill -9 web": (kill_web, 4),
    "kill -9 valkey": (kill_valkey, 5),
    "SIGSTOP worker group past its lease": (stop_worker, 5),
    "SIGSTOP training child past its lease": (stop_child, 4),
    "FLUSHALL": (flush, 5),
    "CLIENT KILL": (cut_clients, 4),
    "CLIENT PAUSE 4 s": (pause_queue, 4),
    "newest checkpoint damaged, child killed": (damage_checkpoint, 6),
}
