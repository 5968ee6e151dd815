"""`/workers`: who is alive and what they do."""

from flask import render_template

from web.auth import current_backend, current_owner
from web.pages.blueprint import pages
from worker import jobs
from worker.errors import NotFound, Unavailable
from worker.records import Job, WorkerInfo


@pages.get("/workers")
def worker_list() -> str:
    """The live workers; a job is named only to its owner."""
    alive: list[WorkerInfo] | None
    try:
        alive = current_backend().live.workers()
    except Unavailable:
        alive = None
    working_on = {worker.job: _own_job(worker.job) for worker in alive or () if worker.job}
    return render_template("workers.html", workers=alive, working_on=working_on)


def _own_job(identifier: str) -> Job | None:
    try:
        return jobs.get(current_backend(), current_owner(), identifier)
    except NotFound:
        return None
