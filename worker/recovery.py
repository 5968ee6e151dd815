"""The sweep: sends again what was lost and makes true what nobody answered.

Stateless; any number of copies may run at once, since every move it makes is one conditional
UPDATE. `python -m worker.recovery` runs it for ever. What it does:

1. A cancel or pause that the worker did not answer within seconds takes effect without it.
2. A lease that ran out (its worker is gone, cut off or stopped) is ended; the job waits again.
3. A job that has waited long rises, so that nobody starves behind higher priorities.
4. A job that waits while the queue holds too few messages is announced again: messages are lost
   when Redis is emptied, restarted or unreachable at the moment of a submit.
5. Searches for settings (`sweeps`) go on to their next rung (`halving`).
"""

import contextlib
import logging
import signal
import threading
from dataclasses import dataclass
from typing import get_args

import sqlalchemy as sa

from worker import counters, delivery, events, halving, logs, retention, transitions
from worker.backend import Backend, open_backend
from worker.clock import ClockWatch
from worker.database import jobs, now
from worker.errors import NewerRecords, StoreError, Unavailable
from worker.queue import QUEUES
from worker.records import JobKind, JobState
from worker.scheduling import raise_the_waiting, runnable

log = logging.getLogger(__name__)

SWEEP_SECONDS = 1.0
BEAT = "swept"  # a file in the data folder, as old as the last sweep
CLEANING_SECONDS = 2.0  # that a stop waits for the clean-up
ANSWER_SECONDS = 2.5  # a worker answers a cancel or pause sooner than this
FIRST_REMINDER_SECONDS = 10
MOST_REMINDER_DOUBLINGS = 6
MOST_LOST_LEASES = 10
MOST_MESSAGES = 1000
LONGEST_BACK_OFF_SECONDS = 60


@dataclass(frozen=True)
class Sweep:
    """What one sweep changed."""

    answered: int  # overdue cancels and pauses
    recovered: int  # leases that had run out
    raised: int  # jobs that have waited so long that their turn comes sooner
    announced: int  # messages sent again
    advanced: int  # sweeps of settings that went on to their next rung or end


def sweep(backend: Backend) -> Sweep:
    """Do the five things once."""
    return Sweep(
        answered=_answer_overdue(backend),
        recovered=_recover_expired(backend),
        raised=_raise_the_waiting(backend),
        announced=sum(_announce(backend, kind) for kind in get_args(JobKind)),
        advanced=halving.advance(backend),
    )


def _answer_overdue(backend: Backend) -> int:
    overdue = (jobs.c.pending_at < now() - ANSWER_SECONDS, jobs.c.state == JobState.RUNNING)
    answered = 0
    with backend.database.reading() as connection:
        rows = connection.execute(sa.select(jobs.c.id, jobs.c.pending).where(*overdue)).all()
    for identifier, pending in rows:
        this = (jobs.c.id == identifier, *overdue)
        with backend.database.writing() as connection:
            row = transitions.let_go(connection, pending, *this)
            answered += row is not None
    return answered


def _recover_expired(backend: Backend) -> int:
    expired = (jobs.c.lease_until < now(), jobs.c.state == JobState.RUNNING)
    recovered = 0
    with backend.database.reading() as connection:
        found = connection.execute(
            sa.select(jobs.c.id, jobs.c.kind, jobs.c.pending, jobs.c.lost_leases).where(*expired)
        ).all()
    for identifier, kind, pending, lost in found:
        this = (jobs.c.id == identifier, *expired)
        with backend.database.writing() as connection:
            if lost + 1 >= MOST_LOST_LEASES and pending != "cancel":
                message = f"{MOST_LOST_LEASES} workers in a row were lost while they ran it"
                error = {"code": "workers_lost", "message": message}
                row = transitions.finish(connection, *this, state=JobState.FAILED, error=error)
            else:
                # The first time at once: machines do go away. Then ever more slowly.
                back_off = min(2.0**lost, LONGEST_BACK_OFF_SECONDS)
                row = transitions.let_go(
                    connection,
                    pending,
                    *this,
                    lost_leases=lost + 1,
                    not_before=now() + back_off if lost else 0.0,
                )
                if row is not None and row.state == JobState.QUEUED:
                    message = "the worker was lost; another one goes on from the last checkpoint"
                    data = {"level": "warning", "message": message}
                    events.append(connection, identifier, "log", data)
        if row is not None:
            recovered += 1
            if row.state == JobState.QUEUED:
                backend.live.count(counters.RECOVERIES.fields(1, kind, "worker_lost"))
                backend.doorbell.ring(QUEUES[kind])
    return recovered


def _raise_the_waiting(backend: Backend) -> int:
    with backend.database.reading() as connection:
        if connection.scalar(sa.select(jobs.c.id).where(jobs.c.ages_at <= now()).limit(1)) is None:
            return 0
    with backend.database.writing() as connection:
        return raise_the_waiting(connection)


def _announce(backend: Backend, kind: JobKind) -> int:
    """Send as many messages as the queue is short of, for jobs that have waited long enough.

    The doubling keeps a queue that is merely long from being flooded when its length is unknown.
    """
    doublings = sa.case(
        *((jobs.c.notifications == n, 2.0**n) for n in range(MOST_REMINDER_DOUBLINGS)),
        else_=2.0**MOST_REMINDER_DOUBLINGS,
    )
    waiting = sa.and_(runnable(), jobs.c.kind == kind)
    due = sa.and_(
        waiting,
        jobs.c.notified_at < now() - FIRST_REMINDER_SECONDS,  # all of them: the index finds those
        jobs.c.notified_at < now() - FIRST_REMINDER_SECONDS * doublings,
    )
    with backend.database.reading() as connection:
        if connection.scalar(sa.select(jobs.c.id).where(due).limit(1)) is None:
            return 0
        # So many messages keep any number of workers busy until the next sweep.
        some = sa.select(jobs.c.id).where(waiting).limit(MOST_MESSAGES).subquery()
        count = connection.scalar(sa.select(sa.func.count()).select_from(some)) or 0
    try:
        short = count - backend.live.waiting_messages(QUEUES[kind])
    except Unavailable:
        return 0
    if short <= 0:
        return 0
    with backend.database.reading() as connection:
        query = sa.select(jobs.c.id).where(due).order_by(jobs.c.notified_at).limit(short)
        identifiers = connection.scalars(query).all()
    sent = 0
    for identifier in identifiers:
        with backend.database.writing() as connection:
            row = transitions.change(
                connection,
                jobs.c.id == identifier,
                due,
                notified_at=now(),
                notifications=jobs.c.notifications + 1,
            )
        if row is not None and backend.doorbell.ring(QUEUES[kind]):
            sent += 1
    backend.live.count(counters.REMINDERS.fields(sent, kind))
    return sent


def run_for_ever(backend: Backend, stop: threading.Event) -> None:
    """Sweep every second until told to stop; an unreachable part is waited for."""
    clock = ClockWatch()
    beat = backend.settings.data_dir / BEAT
    while not stop.wait(SWEEP_SECONDS):
        with contextlib.suppress(OSError):
            beat.touch()
        try:
            clock.look(backend)
            done = sweep(backend)
        except Unavailable as error:
            log.warning("%s", error)
            continue
        except Exception:
            # Whatever one record does to it, the sweep goes on for all the others.
            log.exception("a sweep failed")
            continue
        if done.answered or done.recovered or done.announced:
            log.warning(
                "answered %d, recovered %d, announced %d",
                done.answered,
                done.recovered,
                done.announced,
            )


def main() -> None:
    """The process of the sweep."""
    logs.configure("sweeper")
    stop = threading.Event()
    for number in (signal.SIGTERM, signal.SIGINT):
        signal.signal(number, lambda *_: stop.set())
    try:
        backend = open_backend()
    except (NewerRecords, StoreError, Unavailable) as error:
        log.error("the sweeper cannot start: %s", error)
        raise SystemExit(1) from error
    # In threads of their own: a cancel must not wait for a large store's list, or for an address.
    beside = [
        threading.Thread(target=work, args=(backend, stop), name=name, daemon=True)
        for name, work in (
            ("retention", retention.run_for_ever),
            ("webhooks", delivery.run_for_ever),
        )
    ]
    for thread in beside:
        thread.start()
    try:
        run_for_ever(backend, stop)
    finally:
        for thread in beside:
            thread.join(timeout=CLEANING_SECONDS)
        backend.close()


if __name__ == "__main__":
    main()
