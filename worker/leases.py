"""The worker's side of a job: claim, renew, publish, or lose.

A claim is one conditional UPDATE that takes the fairest runnable job and raises its lease epoch.
Whatever the holder wants to make true afterwards is a compare-and-set on that epoch and the slice
number; a worker that was given up meanwhile (stopped, cut off, slow) matches no row and changes
nothing. Correctness rests on this fence alone, never on messages, clocks or determinism.
"""

from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import Any

import sqlalchemy as sa

from worker import answers, counters, events, quotas, transitions
from worker.backend import Backend
from worker.database import jobs, now
from worker.errors import Damaged, LeaseLost, OtherVersion, StoreError, Unavailable
from worker.queue import QUEUES
from worker.records import Job, JobKind, JobState, Json, Progress, StoredFile
from worker.scheduling import line_up, next_one, runnable, served_now

# The training child may die so often at one slice before the job is given up as poison.
MOST_ATTEMPTS = 3
# A slice that cannot be kept (disk full, store or records away) waits longer each time. A full disk
# has a working night to be emptied; what is missing or damaged has minutes, should the store only
# have lost its mount.
LONGEST_POSTPONEMENT_SECONDS = 300
MOST_POSTPONEMENTS = 100
MOST_POSTPONEMENTS_OF_DAMAGED = 8
# Asked twice a second by every slice.
_WANTED = sa.select(jobs.c.pending).where(
    jobs.c.id == sa.bindparam("job"),
    jobs.c.lease_epoch == sa.bindparam("epoch"),
    jobs.c.slices == sa.bindparam("slices"),
    jobs.c.state == JobState.RUNNING.value,
)


@dataclass(frozen=True)
class Claim:
    """The right to run one slice of a job, until the lease ends or is taken away."""

    job: Job
    epoch: int
    owner: str  # who holds it: a worker and the message it works on
    request_id: str | None = None  # of the request that submitted the job, for log lines
    waited_seconds: float = 0.0  # in the queue before this slice


@dataclass(frozen=True)
class Publication:
    """What a slice made true. `state` RUNNING: there is more to do."""

    state: JobState
    progress: Progress = field(default_factory=Progress)
    metrics: Json = field(default_factory=dict)
    checkpoint: StoredFile | None = None
    went_on_from: StoredFile | None = None  # the checkpoint it loaded, or kept in memory
    candidate: Json | None = None
    stopped: str | None = None  # why a training ended
    result: Json | None = None  # of a prediction
    answers: Sequence[Json] = ()  # of a prediction that goes on: those of this turn
    error: Json | None = None
    slice: Json | None = None  # what the `slice` event tells


def claim(backend: Backend, kind: JobKind, owner: str) -> Claim | None:
    """Take the fairest runnable job of a kind; None when there is none."""
    with backend.database.writing() as connection:
        found = next_one(connection, kind)
        if found is None:
            return None
        changes: Json = {
            "lease_epoch": jobs.c.lease_epoch + 1,
            "lease_owner": owner,
            "lease_until": now() + backend.settings.lease_seconds,
            "served_at": now(),
            "notifications": 0,
            "ages_at": None,
            "started_at": sa.func.coalesce(jobs.c.started_at, now()),
        }
        if found.state != JobState.RUNNING:
            changes["state"] = JobState.RUNNING
        row = transitions.change(connection, jobs.c.id == found.id, runnable(), **changes)
        if row is None:
            return None
        served_now(connection, row.owner)
        job = transitions.read_job(row)
        waited = max(0.0, row.served_at - row.waiting_since)
        return Claim(job, row.lease_epoch, owner, row.request_id, waited)


def renew(backend: Backend, claim: Claim, progress: Progress, metrics: Json) -> str | None:
    """Extend the lease and record how far the slice is; what the owner asked for meanwhile.

    Raises LeaseLost.
    """
    statement = (
        sa.update(jobs)
        .where(*_fence(claim))
        .values(
            lease_until=now() + backend.settings.lease_seconds,
            progress=transitions.progress_json(progress),
            metrics=metrics,
            version=jobs.c.version + 1,
        )
        .returning(jobs.c.pending)
    )
    with backend.database.writing() as connection:
        row = connection.execute(statement).one_or_none()
    if row is None:
        raise LeaseLost(f"the lease of {claim.job.id} was taken away")
    return row.pending  # type: ignore[no-any-return]


def wanted(backend: Backend, claim: Claim) -> str | None:
    """What the owner asked for meanwhile ("cancel", "pause"). Raises LeaseLost."""
    row = backend.database.look(
        _WANTED, job=claim.job.id, epoch=claim.epoch, slices=claim.job.slices
    )
    if row is None:
        raise LeaseLost(f"the lease of {claim.job.id} was taken away")
    pending: str | None = row[0]
    return pending


def record(backend: Backend, claim: Claim, items: list[tuple[str, Json, str | None]]) -> None:
    """Add events (type, data, key) of a running slice; a repeated slice adds none twice.

    Raises LeaseLost: the story of a job ends with its final state, whoever still runs it.
    """
    with backend.database.writing() as connection:
        _held(connection, claim)
        for kind, data, key in items:
            events.append(connection, claim.job.id, kind, data, key)


def publish(backend: Backend, claim: Claim, publication: Publication) -> Job:
    """Make a slice's result the truth and, if there is more to do, ring for the next one.

    A cancel or pause asked for while it ran takes effect here, unless the job is finished: then
    the finish has won. Raises LeaseLost; nothing has changed then.
    """
    job = claim.job
    with backend.database.writing() as connection:
        pending = _held(connection, claim)
        values: Json = {
            "slices": jobs.c.slices + 1,
            "progress": publication.progress,
            "metrics": publication.metrics,
            "attempts": 0,
            "lost_leases": 0,
            "postponements": 0,
            "result": publication.result,
            "error": publication.error,
        }
        if publication.checkpoint:
            values["checkpoint"] = transitions.file_json(publication.checkpoint)
            values["previous_checkpoint"] = transitions.file_json(publication.went_on_from)
        if publication.candidate:
            values["candidate"] = publication.candidate
        state = publication.state
        if state is JobState.RUNNING and pending == "cancel":
            state = JobState.CANCELLED
        if not state.final:
            answers.append(connection, job.id, publication.answers)
            # A slice that was done again shows what was seen already until it is further.
            values["progress"] = publication.progress.not_behind(job.progress)
        values["progress"] = transitions.progress_json(values["progress"])
        if publication.slice is not None:
            data = publication.slice | {"number": job.slices + 1}
            events.append(connection, job.id, "slice", data, f"slice:{job.slices + 1}")
            quotas.add_training(connection, job.owner, data.get("seconds", 0.0))
        if state.final:
            stopped = "cancelled" if state is JobState.CANCELLED else publication.stopped
            row = transitions.finish(
                connection, *_fence(claim), state=state, stopped=stopped, **values
            )
        elif pending == "pause" or _has_no_minutes_left(connection, backend, claim):
            row = transitions.wait_again(
                connection, *_fence(claim), **(values | {"state": JobState.PAUSED})
            )
        else:
            row = _next_slice(connection, claim, values)
        if row is None:
            raise LeaseLost(f"the lease of {job.id} was taken away before its slice was published")
        published = transitions.read_job(row)
    backend.live.count(*counters.of_slice(job.kind, publication.slice or {}))
    if published.state is JobState.RUNNING:
        backend.doorbell.ring(QUEUES[job.kind])
    return published


def give_back(backend: Backend, owner: str, reason: str) -> Job | None:
    """End the lease of a holder that died or failed; the job waits again, or fails as poison.

    `reason` is told to the owner of the job when it happens MOST_ATTEMPTS times at one slice with
    no progress in between. None when the holder held nothing any more.
    """
    held = (jobs.c.lease_owner == owner, jobs.c.lease_until.is_not(None))
    with backend.database.writing() as connection:
        found = connection.execute(
            sa.select(jobs.c.id, jobs.c.pending, jobs.c.attempts).where(*held).with_for_update()
        ).one_or_none()
        if found is None:
            return None
        this, attempts = jobs.c.id == found.id, found.attempts + 1
        if attempts >= MOST_ATTEMPTS and found.pending != "cancel":
            error = {"code": "failed_repeatedly", "message": reason}
            row = transitions.finish(
                connection, this, state=JobState.FAILED, attempts=attempts, error=error
            )
        else:
            # Before the move: a story ends with its final state.
            events.append(connection, found.id, "log", {"level": "warning", "message": reason})
            row = transitions.let_go(
                connection, found.pending, this, attempts=attempts, not_before=0.0
            )
        job = transitions.read_job(row) if row is not None else None
    if job is not None and job.state is JobState.QUEUED:
        backend.live.count(counters.RECOVERIES.fields(1, job.kind, "child_died"))
        backend.doorbell.ring(QUEUES[job.kind])
    return job


def postpone(
    backend: Backend, claim: Claim, error: StoreError | Unavailable | OtherVersion
) -> Job | None:
    """End a lease whose slice cannot be done here through no fault of the job; it tries again.

    Its poison count stays as it is. None when the holder held nothing any more.
    """
    most = MOST_POSTPONEMENTS_OF_DAMAGED if isinstance(error, Damaged) else MOST_POSTPONEMENTS
    query = sa.select(jobs.c.pending, jobs.c.postponements).where(*_fence(claim))
    this = jobs.c.id == claim.job.id
    with backend.database.writing() as connection:
        found = connection.execute(query.with_for_update()).one_or_none()
        if found is None:
            return None
        count = found.postponements + 1
        if count >= most and found.pending != "cancel":
            code = "other_version" if isinstance(error, OtherVersion) else "not_stored"
            problem = {"code": code, "message": f"tried {most} times: {error}"}
            row = transitions.finish(
                connection, this, state=JobState.FAILED, postponements=count, error=problem
            )
        else:
            message = f"the slice will be tried again in a while: {error}"
            data = {"level": "warning", "message": message}
            events.append(connection, claim.job.id, "log", data)
            wait = min(2.0**found.postponements, LONGEST_POSTPONEMENT_SECONDS)
            row = transitions.let_go(
                connection, found.pending, this, postponements=count, not_before=now() + wait
            )
    if row is None:
        return None
    backend.live.count(counters.RECOVERIES.fields(1, claim.job.kind, "postponed"))
    return transitions.read_job(row)


def _held(connection: sa.Connection, claim: Claim) -> str | None:
    """What the owner asked for meanwhile, the row locked for what follows. Raises LeaseLost.

    The lock also orders the events of one job: their ids grow in the order of the commits.
    """
    query = sa.select(jobs.c.pending).where(*_fence(claim)).with_for_update()
    row = connection.execute(query).one_or_none()
    if row is None:
        raise LeaseLost(f"the lease of {claim.job.id} was taken away")
    return row.pending  # type: ignore[no-any-return]


def _has_no_minutes_left(connection: sa.Connection, backend: Backend, claim: Claim) -> bool:
    """Whether a job must pause because its owner has trained enough for today; it is told so."""
    if not quotas.has_used_up(connection, claim.job.owner, backend.settings):
        return False
    message = "paused: the minutes of training a day are used up; resume it after midnight UTC"
    data = {"level": "warning", "message": message}
    events.append(connection, claim.job.id, "log", data)
    return True


def _next_slice(connection: sa.Connection, claim: Claim, values: Json) -> "sa.Row[Any] | None":
    """Free the lease of a running job for whoever takes the next slice."""
    free = {"lease_until": None, "lease_owner": None, "not_before": 0.0} | line_up()
    return transitions.change(connection, *_fence(claim), **(values | free))


def _fence(claim: Claim) -> tuple["sa.ColumnElement[bool]", ...]:
    return (
        jobs.c.id == claim.job.id,
        jobs.c.lease_epoch == claim.epoch,
        jobs.c.slices == claim.job.slices,
        jobs.c.state == JobState.RUNNING,
    )
