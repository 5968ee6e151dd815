"""A job that is asked for again and again is written out once for each change of its record.

Whether it has changed is read each time, so a state is never old and a deleted job is gone at once;
what changes without the record (progress, the place in the queue) may be a quarter of a second old.
"""

import time
from dataclasses import dataclass

from flask import Response, current_app

from worker import jobs
from worker.backend import Backend
from worker.records import Job

POLLS = "lstmq.polls"
BELIEVED_SECONDS = 0.25
MOST_KEPT = 2_000


@dataclass(frozen=True)
class Polled:
    """An answer about a job, and what it was of."""

    version: int
    final: bool
    body: bytes
    etag: str
    until: float

    def respond(self) -> Response:
        """The answer once more."""
        # All at once: each look into the headers goes through all of them.
        return Response(
            self.body,
            headers=[
                ("Content-Type", "application/json"),
                ("Content-Length", str(len(self.body))),
                ("Cache-Control", "no-store"),
                ("ETag", f'W/"{self.etag}"'),
            ],
        )


def recall(backend: Backend, owner: str, identifier: str) -> Polled | None:
    """The last answer, if it is still right. Raises NotFound when the owner has no such job."""
    version = jobs.version(backend, owner, identifier)
    known = _kept().get((owner, identifier))
    fresh = known is not None and known.version == version and time.monotonic() < known.until
    return known if fresh else None


def remember(job: Job, response: Response) -> Polled:
    """Keep an answer for those who ask again soon."""
    polled = Polled(
        version=job.version,
        final=job.state.final,
        body=response.get_data(),
        etag=response.get_etag()[0] or "",
        until=time.monotonic() + BELIEVED_SECONDS,
    )
    kept = _kept()
    if len(kept) >= MOST_KEPT:
        kept.clear()
    kept[job.owner, job.id] = polled
    return polled


def _kept() -> dict[tuple[str, str], Polled]:
    kept: dict[tuple[str, str], Polled] = current_app.extensions.setdefault(POLLS, {})
    return kept
