"""`/workers`: who is alive, what they do, how much waits, and how to add more."""

from dataclasses import dataclass

from flask import render_template

from web.api.status import messages
from web.auth import current_backend, current_owner
from web.pages.blueprint import pages
from worker import census, release, speed, watching
from worker.errors import Unavailable
from worker.queue import QueueName
from worker.records import WorkerInfo

LATELY_SECONDS = 300


@dataclass(frozen=True)
class Line:
    """The jobs of one kind, over all owners: a number names nobody."""

    kind: str
    words: str
    waiting: int
    running: int
    oldest_seconds: float
    messages: int | None  # None: Redis does not answer


LINES: tuple[tuple[QueueName, str], ...] = (("train", "Trainings"), ("predict", "Predictions"))


@pages.get("/workers")
def worker_list() -> str:
    """The live workers; a job is named only to its owner."""
    backend = current_backend()
    alive: list[WorkerInfo] | None
    try:
        alive = backend.live.workers()
    except Unavailable:
        alive = None
    lately = speed.recent(backend, LATELY_SECONDS)
    own = watching.records(
        backend, [worker.job for worker in alive or () if worker.job], owner=current_owner()
    )
    return render_template(
        "workers.html",
        workers=alive,
        version=release.VERSION,
        tables=release.TABLES,
        others=release.others(alive or []),
        own=own,
        lately=lately,
        lines=_lines(),
        tokens_per_second=sum(one.tokens for one in lately.values()) / LATELY_SECONDS,
        minutes=LATELY_SECONDS // 60,
    )


def _lines() -> list[Line]:
    counted = census.take(current_backend())
    lines = []
    for kind, words in LINES:
        waiting = counted.waiting[kind]
        lines.append(
            Line(
                kind=kind,
                words=words,
                waiting=waiting.jobs,
                running=counted.jobs.get((kind, "running"), 0),
                oldest_seconds=waiting.oldest_seconds,
                messages=messages(current_backend(), kind),
            )
        )
    return lines
