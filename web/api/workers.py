"""`/workers`: the processes that train and predict, as they last reported."""

from typing import Literal

from flask import Blueprint, Response

from web.api.serialize import respond_json
from web.api.shapes import EXAMPLE_TIME, JOB_ID, PageAnswer, Time, list_of, some_time
from web.auth import current_backend, current_owner
from web.operation import Answer, about, describes
from worker import jobs
from worker.errors import NotFound
from worker.records import WorkerInfo

workers = Blueprint("workers", __name__, url_prefix="/workers")


class WorkerAnswer(Answer):
    """A live process that trains or predicts."""

    object: Literal["worker"] = about("What this is.", "worker", "worker")
    name: str = about("What it calls itself.", "train-1@host")
    queue: Literal["train", "predict"] = about("What it does.", "train")
    host: str = about("On which machine.", "host")
    pid: int = about("Its process id there.", 1234)
    started_at: Time = about("Since when.", EXAMPLE_TIME)
    seen_at: Time = about("When it last reported.", EXAMPLE_TIME)
    busy: bool = about("Whether it works on a job.", True)
    job: str | None = about("On which, if that is yours.", JOB_ID)
    threads: int = about("Threads it computes with.", 1)
    version: str = about("Which lstmq it runs.", "0.1.0")

    @classmethod
    def of(cls, worker: WorkerInfo, *, tells_job: bool) -> "WorkerAnswer":
        """A worker as it last reported."""
        return cls(
            name=worker.name,
            queue=worker.queue,
            host=worker.host,
            pid=worker.pid,
            started_at=some_time(worker.started_at),
            seen_at=some_time(worker.seen_at),
            busy=worker.job is not None,
            job=worker.job if tells_job else None,
            threads=worker.threads,
            version=worker.version,
        )


@workers.get("")
@describes(answers={200: PageAnswer[WorkerAnswer]})
def list_all() -> Response:
    """Every live worker; the job one works on is named only to the job's owner."""
    alive = current_backend().live.workers()
    data = [
        WorkerAnswer.of(worker, tells_job=bool(worker.job and _owns(worker.job)))
        for worker in alive
    ]
    return respond_json(list_of(data))


def _owns(job: str) -> bool:
    try:
        jobs.get(current_backend(), current_owner(), job)
    except NotFound:
        return False
    return True
