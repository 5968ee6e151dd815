"""`/fine_tuning/jobs`: trainings.

With cancel, pause and resume the clients send no body, but say that it is JSON: nobody reads it.
"""

import time

from flask import Blueprint, Response, request

from web.api.parsing import check, idempotency_key, inside, read_body, read_query
from web.auth import current_backend, current_owner
from web.openai.attempts import this_attempt
from web.openai.creation import CreateBody
from web.openai.errors import refuse
from web.openai.ids import dataset_id, job_id
from web.openai.lists import MOST, Cursor, ListAnswer, metadata_filter, page_of
from web.openai.shapes import (
    EVENT_PREFIX,
    CheckpointAnswer,
    FineTuningAnswer,
    FineTuningEventAnswer,
)
from web.operation import about, describes
from web.places import try_place
from worker import datasets, events, submissions
from worker import jobs as contract
from worker.errors import NotFound
from worker.records import Job

jobs = Blueprint("jobs", __name__, url_prefix="/fine_tuning/jobs")

# A worker that was asked to stop does so within a step; the clients expect the new status at once.
SETTLE_SECONDS = 3.0

EXAMPLES = {
    "a training": {
        "model": "lstm-tutorial",
        "training_file": "file-3f9c2b7a1e5d4c8b9a60",
        "suffix": "lesson",
        "hyperparameters": {"n_epochs": 20},
    },
    "with settings of ours": {
        "model": "lstm-word",
        "training_file": "file-3f9c2b7a1e5d4c8b9a60",
        "config": {"model": {"hidden_dim": 32}},
        "metadata": {"course": "b"},
    },
}


class CheckpointCursor(Cursor):
    """Which page of the checkpoints."""

    limit: int = about("At most so many.", 10, 10, ge=1, le=MOST)


@jobs.post("")
@describes(
    answers={200: FineTuningAnswer},
    body=CreateBody,
    headers=("Idempotency-Key",),
    refuses=(404,),
    examples=EXAMPLES,
)
def create() -> Response:
    """Start a training. The same request sent again by the client starts no second one."""
    backend, owner = current_backend(), current_owner()
    attempt = this_attempt()
    body = read_body(CreateBody)
    body.check_supported()
    try:
        dataset = datasets.get(backend, owner, dataset_id(body.training_file))
    except NotFound:
        refuse("training_file", f"{body.training_file} is not one of your files", code="not_found")
    config = body.train_config(dataset)
    with inside("config"):
        job = submissions.submit_train(
            backend,
            owner,
            name=body.suffix,
            dataset=dataset.id,
            config=config,
            metadata=body.metadata,
            idempotency_key=idempotency_key(),
            attempt=attempt,
        )
    return FineTuningAnswer.of(job).respond()


@jobs.get("")
@describes(answers={200: ListAnswer[FineTuningAnswer]}, query=Cursor)
def list_all() -> Response:
    """The owner's trainings, newest first; `metadata[key]=value` finds those that have it."""
    query = _cursor(Cursor)
    page = contract.list_page(
        current_backend(),
        current_owner(),
        kind="train",
        metadata=metadata_filter(),
        limit=query.limit,
        after=job_id(query.after) if query.after else None,
    )
    return page_of(
        [FineTuningAnswer.of(job) for job in page.data], has_more=page.has_more
    ).respond()


@jobs.get("/<identifier>")
@describes(answers={200: FineTuningAnswer})
def get(identifier: str) -> Response:
    """One training."""
    return FineTuningAnswer.of(_find(identifier)).respond()


@jobs.post("/<identifier>/cancel")
@describes(answers={200: FineTuningAnswer}, refuses=(400,))
def cancel(identifier: str) -> Response:
    """Stop a training for good; what it learned is its model."""
    job = _find(identifier)
    contract.cancel(current_backend(), current_owner(), job.id)
    return FineTuningAnswer.of(_settled(job.id)).respond()


@jobs.post("/<identifier>/pause")
@describes(answers={200: FineTuningAnswer}, refuses=(400,))
def pause(identifier: str) -> Response:
    """Stop a training until it is resumed."""
    job = _find(identifier)
    contract.pause(current_backend(), current_owner(), job.id)
    return FineTuningAnswer.of(_settled(job.id)).respond()


@jobs.post("/<identifier>/resume")
@describes(answers={200: FineTuningAnswer}, refuses=(400,))
def resume(identifier: str) -> Response:
    """Let a paused training go on."""
    job = _find(identifier)
    return FineTuningAnswer.of(
        contract.resume(current_backend(), current_owner(), job.id)
    ).respond()


@jobs.get("/<identifier>/events")
@describes(answers={200: ListAnswer[FineTuningEventAnswer]}, query=Cursor)
def list_events(identifier: str) -> Response:
    """What happened to a training, newest first."""
    query = read_query(Cursor)
    job = _find(identifier)
    before = _event_number(query.after) if query.after else None
    found = events.newest(current_backend(), job.id, before, query.limit + 1)
    shapes = [FineTuningEventAnswer.of(event) for event in found[: query.limit]]
    return page_of(shapes, has_more=len(found) > query.limit).respond()


@jobs.get("/<identifier>/checkpoints")
@describes(answers={200: ListAnswer[CheckpointAnswer]}, query=CheckpointCursor)
def list_checkpoints(identifier: str) -> Response:
    """The best model so far; earlier ones are not kept."""
    query = read_query(CheckpointCursor)
    best = CheckpointAnswer.of(_find(identifier))
    # After any of them there is none: there is only one.
    return page_of([best] if best is not None and query.after is None else []).respond()


def _find(identifier: str) -> Job:
    job = contract.get(current_backend(), current_owner(), job_id(identifier))
    if job.kind != "train":
        raise NotFound(f"there is no job {identifier}")
    return job


def _settled(identifier: str) -> Job:
    """The job once what was asked of it is done, or after a moment as it is then.

    Where nobody may wait any more it is answered at once: what was asked will happen all the same.
    """
    where = (current_backend(), current_owner(), identifier)
    leave = try_place("poll")
    if leave is None:
        return contract.get(*where)
    deadline = time.monotonic() + SETTLE_SECONDS
    try:
        while True:
            job = contract.get(*where)
            left = deadline - time.monotonic()
            if job.pending is None or left <= 0:
                return job
            contract.wait(*where, left, job.version)
    finally:
        leave()


def _cursor(kind: type[Cursor]) -> Cursor:
    """The query without `metadata[…]`, which is read apart."""
    given = {
        name: values[0] if len(values) == 1 else values
        for name, values in request.args.lists()
        if not name.startswith("metadata[")
    }
    return check(kind, given)


def _event_number(identifier: str) -> int:
    digits = identifier.removeprefix(EVENT_PREFIX)
    is_number = digits.isascii() and digits.isdecimal() and len(digits) < len(str(2**53))
    if not (identifier.startswith(EVENT_PREFIX) and is_number):
        refuse("after", "is no id of an event of this job")
    return int(digits)
