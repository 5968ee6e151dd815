"""`/workers`: the processes that train and predict, as they last reported."""

from flask import Blueprint, Response

from web.api.serialize import respond_json, worker_json
from web.auth import current_backend, current_owner
from worker import jobs
from worker.errors import NotFound

workers = Blueprint("workers", __name__, url_prefix="/workers")


@workers.get("")
def list_all() -> Response:
    """Every live worker; the job one works on is named only to the job's owner."""
    alive = current_backend().live.workers()
    visible = [worker.job for worker in alive if worker.job and _owns(worker.job)]
    data = [worker_json(worker, visible) for worker in alive]
    return respond_json({"data": data, "has_more": False, "next": None})


def _owns(job: str) -> bool:
    try:
        jobs.get(current_backend(), current_owner(), job)
    except NotFound:
        return False
    return True
