"""Faults of what the processes stand on: queue, records, store, disk, clocks, messages.

As in `faults`, each returns how to see that the system goes on, or None: not now. What lasts for a
while is undone by a timer.
"""

import contextlib
import os
import resource
import shutil
import sqlite3
from pathlib import Path

import sqlalchemy as sa

from tests.chaos.attack import LASTS_SECONDS, Attack, Recovered
from tests.processes import marked

PAUSED_MILLISECONDS = int(LASTS_SECONDS * 1000)
FLOOD = 300
CLOCK_STEPS_SECONDS = (-7200.0, -30.0, 30.0, 7200.0)
SMALLEST_FILE_BYTES = 4096
END_CONNECTIONS = """select pg_terminate_backend(pid) from pg_stat_activity
where pid <> pg_backend_pid() and datname = current_database()"""


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
    attack.system.queue.client_pause(PAUSED_MILLISECONDS)
    return attack.lasting(lambda: None)


def stop_queue(attack: Attack) -> Recovered | None:
    """It takes connections and never answers."""
    return attack.stop("queue", LASTS_SECONDS)


def lose_queue(attack: Attack) -> Recovered | None:
    """The server dies and its disk is lost with it."""
    if not attack.may_kill("queue"):
        return None
    back, goes_on = attack.system.is_back("queue"), attack.system.goes_on(None)
    attack.kill_part("queue")
    shutil.rmtree(attack.system.service.folder / "valkey", ignore_errors=True)
    (attack.system.service.folder / "valkey").mkdir(exist_ok=True)
    return lambda: back() and goes_on()


def flood(attack: Attack) -> Recovered | None:
    """Every message many times, and messages about nothing."""
    goes_on = attack.system.goes_on(None)
    for _ in range(FLOOD):
        attack.system.records.doorbell.ring("train")
        attack.system.records.doorbell.ring("predict")
    return goes_on


def hold_records(attack: Attack) -> Recovered | None:
    """SQLite: somebody holds the write lock. Postgres: every connection is ended."""
    engine = attack.system.records.database.engine
    if engine.dialect.name == "postgresql":
        goes_on = attack.system.goes_on(None)
        with engine.connect() as connection:
            connection.execute(sa.text(END_CONNECTIONS))
        return goes_on
    holder = sqlite3.connect(engine.url.database or "", timeout=10, check_same_thread=False)
    holder.isolation_level = None
    try:
        holder.execute("begin immediate")
    except sqlite3.OperationalError:
        holder.close()
        return None
    return attack.lasting(holder.close)


def lose_store(attack: Attack) -> Recovered | None:
    """Where the store's folder was lies a file: it can be neither read nor written."""
    folder = attack.system.records.store.folder
    if folder is None or not folder.is_dir():
        return None
    away = folder.with_name("store-away")
    folder.rename(away)
    folder.touch()

    def put_back() -> None:
        if folder.is_dir():
            shutil.rmtree(folder)
        else:
            folder.unlink(missing_ok=True)
        away.rename(folder)

    return attack.lasting(put_back)


def fill_disk(attack: Attack) -> Recovered | None:
    """No file of any part can grow: every write fails, the records' too."""
    spared = attack.system.service.process_of("queue") if attack.system.leader("queue") else 0
    limited: list[tuple[int, int]] = []
    for pid in marked(attack.system.service.mark):
        with contextlib.suppress(OSError):
            if os.getpgid(pid) != spared and pid != attack.system.service.process.pid:
                _, hard = resource.prlimit(pid, resource.RLIMIT_FSIZE)
                resource.prlimit(pid, resource.RLIMIT_FSIZE, (SMALLEST_FILE_BYTES, hard))
                limited.append((pid, hard))

    def make_room() -> None:
        for pid, hard in limited:
            with contextlib.suppress(OSError):
                resource.prlimit(pid, resource.RLIMIT_FSIZE, (resource.RLIM_INFINITY, hard))

    return attack.lasting(make_room)


def step_clock(attack: Attack) -> Recovered | None:
    """The wall clock of one part jumps, and stays wrong."""
    part = attack.system.choose.choice(("train-1", "train-2", "predict-1", "sweeper", "web"))
    leader = attack.system.leader(part)
    if leader is None:
        return None
    goes_on = attack.system.goes_on(None)
    written = Path(attack.system.clocks) / f"{leader}.new"
    written.write_text(str(attack.system.choose.choice(CLOCK_STEPS_SECONDS)))
    written.rename(Path(attack.system.clocks) / str(leader))
    return goes_on
