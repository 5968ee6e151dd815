"""What is done to the processes. A fault returns how to see that it has recovered; None: not now.

The kills of one job's child are spaced: the next one comes only after a slice was published, so
that the poison rule (three deaths at one slice) is not what is measured.
"""

import os
import signal
from collections.abc import Callable
from pathlib import Path

from tests.chaos import surroundings
from tests.chaos.attack import STOPPED_SECONDS, Attack, Recovered
from tests.chaos.system import kill_group

Fault = Callable[[Attack], Recovered | None]


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
    attack.later(lambda: kill_group(leader, signal.SIGCONT), STOPPED_SECONDS)
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

    attack.later(resume, STOPPED_SECONDS)
    return attack.system.goes_on(found[1])


def flip_a_bit(attack: Attack) -> Recovered | None:
    def flip(path: Path) -> None:
        with path.open("r+b") as file:
            file.seek(path.stat().st_size // 2)
            byte = file.read(1)
            file.seek(-1, os.SEEK_CUR)
            file.write(bytes([byte[0] ^ 1]))

    return _damage(attack, flip)


def tear_checkpoint(attack: Attack) -> Recovered | None:
    return _damage(attack, lambda path: os.truncate(path, path.stat().st_size // 2))


def remove_checkpoint(attack: Attack) -> Recovered | None:
    return _damage(attack, Path.unlink)


def _damage(attack: Attack, harm: Callable[[Path], object]) -> Recovered | None:
    """To the newest checkpoint; the process that might remember it goes too.

    It is stopped first, or it might still publish another slice after this checkpoint: its job can
    then end without ever looking at it, and only the check of all artifacts would miss it.
    """
    found = attack.busy_worker()
    folder = attack.system.records.store.folder
    child = attack.system.child(found[0]) if found else None
    if found is None or child is None or folder is None:
        return None
    try:
        os.kill(child, signal.SIGSTOP)
    except ProcessLookupError:
        return None
    row = attack.system.job_of(found[0])
    if row is None or not row.checkpoint:
        os.kill(child, signal.SIGCONT)
        return None
    harm(folder / row.checkpoint["key"])
    os.kill(child, signal.SIGKILL)
    return attack.system.goes_on(row)


def kill_web(attack: Attack) -> Recovered | None:
    is_back = attack.kill("web")
    return (lambda: is_back() and attack.system.answers()) if is_back else None


def kill_valkey(attack: Attack) -> Recovered | None:
    back, goes_on = attack.kill("queue"), attack.system.goes_on(None)
    return (lambda: back() and goes_on()) if back else None


def end_worker(attack: Attack) -> Recovered | None:
    """SIGTERM, as at a deployment: what was trained is published as a shorter slice."""
    found = attack.busy_worker()
    if found is None or not attack.may_kill(found[0]):
        return None
    recovered = attack.system.is_back(found[0])
    attack.end_part(found[0])
    return recovered


# How often each is drawn.
FAULTS: dict[str, tuple[Fault, int]] = {
    "kill -9 training child": (kill_child, 12),
    "kill -9 worker group": (kill_worker, 7),
    "kill -9 predictor": (lambda attack: attack.kill("predict-1"), 4),
    "kill -9 sweeper": (lambda attack: attack.kill("sweeper"), 4),
    "kill -9 web": (kill_web, 4),
    "kill -9 valkey": (kill_valkey, 4),
    "kill -9 valkey, its disk lost": (surroundings.lose_queue, 3),
    "SIGTERM worker": (end_worker, 4),
    "SIGSTOP worker group past its lease": (stop_worker, 5),
    "SIGSTOP training child past its lease": (stop_child, 4),
    "SIGSTOP predictor past its lease": (
        lambda attack: attack.stop("predict-1", STOPPED_SECONDS),
        3,
    ),
    "SIGSTOP sweeper past a lease": (lambda attack: attack.stop("sweeper", STOPPED_SECONDS), 3),
    "SIGSTOP valkey 4 s": (surroundings.stop_queue, 3),
    "FLUSHALL": (surroundings.flush, 5),
    "CLIENT KILL": (surroundings.cut_clients, 4),
    "CLIENT PAUSE 4 s": (surroundings.pause_queue, 3),
    "flood of 600 duplicate messages": (surroundings.flood, 3),
    "records: locked 4 s, connections cut": (surroundings.hold_records, 4),
    "store: away 4 s": (surroundings.lose_store, 4),
    "disk: no file can grow 4 s": (surroundings.fill_disk, 4),
    "wall clock of a part jumps": (surroundings.step_clock, 4),
    "checkpoint: a bit flipped, child killed": (flip_a_bit, 4),
    "checkpoint: torn, child killed": (tear_checkpoint, 3),
    "checkpoint: missing, child killed": (remove_checkpoint, 3),
}
