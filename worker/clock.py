"""What a database's clock that is set back would do, and how it is mended.

All times are the database's, so no two clocks are ever compared. But that one clock may itself be
set back: by hand, by a time server, by a standby that takes over. Then leases of dead workers would
last for as long as it jumped, jobs would wait that long for their turn, and whoever was served
before the jump would be served last. The sweep notices it and moves what lies in the future to now.
A clock set forward needs no mending: leases end early, and their slices are done again.
"""

import logging
import time
from typing import Any

import sqlalchemy as sa

from worker.backend import Backend
from worker.database import jobs, now, owners
from worker.leases import LONGEST_POSTPONEMENT_SECONDS
from worker.records import FINAL_STATES
from worker.scheduling import AGEING_SECONDS

log = logging.getLogger(__name__)

SLACK_SECONDS = 1.0  # a clock that is slewed, and the time that asking takes


class ClockWatch:
    """Compares the database's clock with one that nobody can set, from sweep to sweep."""

    def __init__(self) -> None:
        self._ahead: float | None = None  # of the database's over our own, when last looked at

    def was_set_back(self, database_time: float, own_time: float) -> bool | None:
        """Whether it was since the last call; None: this is the first."""
        before, self._ahead = self._ahead, database_time - own_time
        return None if before is None else self._ahead < before - SLACK_SECONDS

    def look(self, backend: Backend) -> int:
        """Mend what a step back has done; how many records were changed.

        The first time nobody knows what happened before: only impossible times are mended then.
        """
        stepped = self.was_set_back(backend.database.time(), time.monotonic())
        if stepped is False:
            return 0
        mended = mend(backend, LONGEST_POSTPONEMENT_SECONDS if stepped is None else 0.0)
        if mended:
            log.warning("the database's clock was set back: %d records mended", mended)
        return mended


def mend(backend: Backend, longest_wait: float) -> int:
    """Move times that cannot be true to now; a job may wait for its turn for `longest_wait`."""
    lease = now() + backend.settings.lease_seconds
    limits: dict[Any, Any] = {
        jobs.c.lease_until: lease,  # a living holder renews it long before
        jobs.c.not_before: now() + longest_wait,
        jobs.c.ages_at: now() + AGEING_SECONDS,
        **{
            jobs.c[name]: now()
            for name in ("waiting_since", "served_at", "notified_at", "pending_at")
        },
    }
    wrong = sa.or_(*(column > limit + SLACK_SECONDS for column, limit in limits.items()))
    values = {
        column.name: sa.case((column > limit, limit), else_=column)
        for column, limit in limits.items()
    }
    unfinished = jobs.c.state.not_in(FINAL_STATES)
    late = owners.c.served_at > now() + SLACK_SECONDS
    with backend.database.writing() as connection:
        mended = connection.execute(sa.update(jobs).where(unfinished, wrong).values(values))
        connection.execute(sa.update(owners).where(late).values(served_at=now()))
    return mended.rowcount
