"""`make chaos SEED=1 FAULTS=60`: break everything, again and again, and see that nothing is lost.

The seed decides which faults come in which order, on which part, and what the n-th job is; when
exactly they hit, and which of them find no victim at their moment, is the machine's. Exit 0 only
when every promise was kept.
"""

import argparse
import contextlib
import os
import random
import shutil
import sys
import tempfile
import time
from collections.abc import Iterator
from pathlib import Path

import redis

from tests.chaos.attack import Attack, Recovered
from tests.chaos.checks import Checks, report
from tests.chaos.faults import FAULTS
from tests.chaos.ledger import Ledger
from tests.chaos.system import EPOCHS, System, settings_of
from tests.test_up import Service
from tests.worker.servers import find_postgres, postgres
from worker.errors import Unavailable

POSSIBLE_SECONDS = 15.0  # how long a fault waits for its moment
RECOVERY_SECONDS = 60.0
DOUBLE_FAULTS = 0.2  # share of faults that do not wait for the recovery from the one before


def main() -> int:
    """One round, as the command line asks for it."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--seed", type=int, default=1)
    parser.add_argument("--faults", type=int, default=60)
    parser.add_argument("--seconds", type=float, default=1800.0, help="no new fault after these")
    parser.add_argument("--postgres", action="store_true", help="records in a Postgres of its own")
    parser.add_argument("--each", action="store_true", help="every kind of fault once, in order")
    asked = parser.parse_args()
    order = list(FAULTS) if asked.each else None
    with database(asked.postgres) as url:
        problems, text = round_of_faults(asked.seed, asked.faults, asked.seconds, url, order)
    sys.stdout.write(text + "\n")
    return 1 if problems else 0


@contextlib.contextmanager
def database(in_postgres: bool) -> Iterator[str]:
    """The URL of an empty one; none: the service's own SQLite."""
    programs = find_postgres() if in_postgres else None
    if programs is None:
        yield ""
        return
    with postgres(programs) as server:
        yield f"{server}/postgres"


def round_of_faults(
    seed: int,
    count: int,
    seconds: float,
    database_url: str = "",
    order: list[str] | None = None,
    epochs: int = EPOCHS,
) -> tuple[list[str], str]:
    """Run one round, of the seed's faults or of those in `order`; what was broken, the report."""
    os.environ["OMP_NUM_THREADS"] = os.environ["MKL_NUM_THREADS"] = "1"
    folder = Path(tempfile.mkdtemp(prefix="lstmq-"))
    with (
        contextlib.closing(Ledger(folder / "ledger.jsonl")) as ledger,
        Service(folder / "var", settings=settings_of(folder, database_url)) as service,
    ):
        system = System(service, ledger, seed, database_url, epochs)
        try:
            attack(system, count, time.monotonic() + seconds, order)
            checks = Checks(system, folder)
            checks.run()
            text = report(system, checks, seed)
        finally:
            system.close()
    if checks.problems:
        (folder / "said.log").write_text(service.said())
        text += f"\nledger, log and data are kept in {folder}"
    else:
        shutil.rmtree(folder)
    return checks.problems, text


def attack(system: System, count: int, deadline: float, order: list[str] | None) -> None:
    """Do the seed's faults one after the other while there is always work."""
    draw = random.Random(f"faults {system.seed}")  # noqa: S311
    names, shares = list(FAULTS), [share for _, share in FAULTS.values()]
    attacker = Attack(system)
    system.keep_busy()
    done = skipped = 0
    count = count if order is None else len(order)
    while done < count and skipped <= count and time.monotonic() < deadline:
        if order is None:
            (name,) = draw.choices(names, shares)
        elif done + skipped < len(order):
            name = order[done + skipped]
        else:
            break
        pause, double = draw.uniform(0.0, 1.5), draw.random() < DOUBLE_FAULTS
        chosen = draw.random()
        system.keep_busy()
        time.sleep(pause)
        recovered = when_possible(system, attacker, name, chosen)
        if recovered is None:
            system.ledger.note("skipped", kind=name)
            skipped += 1
            continue
        done += 1
        system.ledger.note("fault", kind=name, number=done)
        if not double:
            await_recovery(system, name, recovered)
    attacker.wait_for_timers()


def when_possible(system: System, attacker: Attack, name: str, chosen: float) -> Recovered | None:
    """Do the fault as soon as it can be done; None when its moment does not come."""
    deadline = time.monotonic() + POSSIBLE_SECONDS
    while time.monotonic() < deadline:
        system.choose.seed(chosen)  # however often it is tried
        with contextlib.suppress(redis.RedisError, Unavailable):  # the fault before lasts still
            recovered = FAULTS[name][0](attacker)
            if recovered is not None:
                return recovered
        system.keep_busy()
        time.sleep(0.1)
    return None


def await_recovery(system: System, name: str, recovered: Recovered) -> None:
    """Write down how long the system took."""
    began = time.monotonic()
    while time.monotonic() - began < RECOVERY_SECONDS:
        with contextlib.suppress(redis.RedisError, Unavailable):
            if recovered():
                break
        system.keep_busy()
        time.sleep(0.1)
    system.ledger.note("recovered", kind=name, seconds=round(time.monotonic() - began, 2))


if __name__ == "__main__":
    sys.exit(main())
