"""What a worker watches beside its work: that it still hears, and that somebody sweeps.

A consumer may take no messages any more without noticing: its connection is half open, or did not
come back whole after a loss. Then its process ends, and whoever started it starts another one.
And should no sweeper live anywhere, any worker does its part.
"""

import logging
import time
from collections.abc import Callable

import sqlalchemy as sa

from worker import recovery
from worker.backend import Backend
from worker.database import jobs, now
from worker.errors import Unavailable
from worker.queue import QueueName
from worker.records import JobState
from worker.scheduling import runnable

log = logging.getLogger(__name__)

DEAF_SECONDS = 60.0
# A sweeper that lives has seen to everything sooner than this.
LATE_SECONDS = 10


class Ear:
    """In the process that takes the messages; asks only Redis, since that process may fork."""

    def __init__(
        self,
        backend: Backend,
        queue: QueueName,
        is_working: Callable[[], object],
        seconds: float = DEAF_SECONDS,
    ) -> None:
        self._backend, self._queue, self._seconds = backend, queue, seconds
        self._is_working = is_working
        self.heard()

    def heard(self) -> None:
        """A message was taken, or there was none to take."""
        self._heard_at = time.monotonic()

    def is_deaf(self) -> bool:
        """Whether messages lie there and this worker, which has nothing to do, takes none."""
        try:
            waiting = self._backend.live.waiting_messages(self._queue)
        except Unavailable:
            waiting = 0
        if not waiting or self._is_working():
            self.heard()
        return time.monotonic() - self._heard_at > self._seconds


def stand_in(backend: Backend) -> bool:
    """Sweep, if nobody has for a while; whether that was so."""
    running = jobs.c.state == JobState.RUNNING
    late = now() - LATE_SECONDS
    reminder = now() - recovery.FIRST_REMINDER_SECONDS - LATE_SECONDS
    try:
        with backend.database.reading() as connection:
            for undone in (
                sa.and_(running, jobs.c.lease_until < late),
                sa.and_(running, jobs.c.pending_at < late),
                sa.and_(runnable(), jobs.c.notifications == 0, jobs.c.notified_at < reminder),
            ):
                if connection.scalar(sa.select(jobs.c.id).where(undone).limit(1)) is not None:
                    break
            else:
                return False
        done = recovery.sweep(backend)
    except Unavailable:
        return False
    if not (done.answered or done.recovered or done.announced):
        return False  # a long queue is no sign
    log.warning("no sweeper was at work: a worker has swept")
    return True
