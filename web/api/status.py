"""`/status`: how the service is, in numbers that name nobody."""

from typing import Literal, get_args

from flask import Blueprint, Response

from web.api.serialize import respond_json
from web.auth import current_backend
from web.operation import Answer, about, describes
from worker import census, health, release
from worker.backend import Backend
from worker.errors import Unavailable
from worker.queue import QUEUES, QueueName
from worker.records import JobKind, WorkerInfo

status = Blueprint("status", __name__, url_prefix="/status")


class QueueAnswer(Answer):
    """What waits for one kind of worker."""

    kind: JobKind = about("Which jobs.", "train")
    waiting: int = about("Jobs that a worker could take now.", 3)
    oldest_seconds: float = about("How long the first of them has waited.", 12.5)
    messages: int | None = about("Messages for its workers; null while Redis is away.", 3)


class HandsAnswer(Answer):
    """The workers of one queue."""

    queue: QueueName = about("What they do.", "train")
    online: int = about("How many have reported lately.", 2)
    busy: int = about("How many of them work on a job.", 1)


class StatusAnswer(Answer):
    """The service as a whole."""

    object: Literal["status"] = about("What this is.", "status", "status")
    version: str = about("Which lstmq the web server runs.", "0.1.0")
    ready: bool = about("Whether every part answers.", True)
    parts: dict[str, str | None] = about("What is wrong with each; null: nothing.", {"redis": None})
    queues: list[QueueAnswer] = about("What waits.", [])
    workers: list[HandsAnswer] = about("Who works.", [])
    other_versions: list[str] = about(
        "Workers of another version than the web server's, with their version.", []
    )


@status.get("")
@describes(answers={200: StatusAnswer})
def show() -> Response:
    """Whether every part answers, what waits, who works, and whether all are of one version."""
    backend = current_backend()
    parts = health.readiness(backend)
    alive = _alive(backend)
    answer = StatusAnswer(
        version=release.VERSION,
        ready=not any(parts.values()),
        parts=parts,
        queues=_queues(backend),
        workers=[_hands(queue, alive) for queue in get_args(QueueName)],
        other_versions=release.others(alive),
    )
    return respond_json(answer)


def _alive(backend: Backend) -> list[WorkerInfo]:
    try:
        return backend.live.workers()
    except Unavailable:
        return []


def _queues(backend: Backend) -> list[QueueAnswer]:
    try:
        counted = census.take(backend).waiting
    except Unavailable:
        return []  # `parts` says so
    return [
        QueueAnswer(
            kind=kind,
            waiting=counted[kind].jobs,
            oldest_seconds=round(counted[kind].oldest_seconds, 1),
            messages=messages(backend, QUEUES[kind]),
        )
        for kind in get_args(JobKind)
    ]


def messages(backend: Backend, queue: QueueName) -> int | None:
    """Messages nobody has taken yet; None while Redis is away."""
    try:
        return backend.live.waiting_messages(queue)
    except Unavailable:
        return None


def _hands(queue: QueueName, alive: list[WorkerInfo]) -> HandsAnswer:
    mine = [worker for worker in alive if worker.queue == queue]
    return HandsAnswer(
        queue=queue, online=len(mine), busy=sum(worker.job is not None for worker in mine)
    )
