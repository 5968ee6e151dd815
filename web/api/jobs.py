"""`/jobs`: trainings, predictions and evaluations, kept until they are done."""

from itertools import chain
from typing import Annotated

from flask import Blueprint, Response, request
from pydantic import Field

from web.api import polls
from web.api.datasets import ListQuery
from web.api.parsing import (
    LONGEST_WAIT_SECONDS,
    Body,
    Query,
    preferred_wait,
    read_body,
    read_json,
    read_query,
)
from web.api.serialize import respond_json
from web.api.shapes import JOB_ID, ROOT, JobAnswer, PageAnswer, page_of
from web.api.submitting import EXAMPLES, EvaluateBody, PredictBody, TrainBody, submit_any
from web.auth import current_backend, current_owner
from web.operation import Answer, Raw, about, describes
from web.places import place, try_place
from worker import jobs as contract
from worker import readings
from worker.errors import InvalidInput, NotFound, WrongState
from worker.queue import QUEUES
from worker.records import ACTIVE_STATES, Job, JobKind, JobState

jobs = Blueprint("jobs", __name__, url_prefix="/jobs")

MOST_CANCELLED = 100  # in one request


class JobListQuery(ListQuery):
    """A page of the jobs that fit."""

    kind: JobKind | None = about("Only those of this kind.", "train", None)
    state: JobState | None = about("Only those in this state.", "running", None)


class JobQuery(Query):
    """How long to wait for news of a job."""

    wait: int = about(
        "Wait so many seconds for its end or, with `If-None-Match`, for the next change.",
        *(1, 0),
        ge=0,
        le=LONGEST_WAIT_SECONDS,
    )


class JobFilter(Body):
    """Which jobs: those that fit all of it."""

    kind: JobKind | None = about("Only those of this kind.", "train", None)
    state: Annotated[JobState, Field(strict=False)] | None = about(
        "Only those in this state.", "queued", None
    )
    name: str | None = about("Only those whose name contains this.", "les", None)


class CancelBody(Body):
    """Which jobs to stop."""

    ids: Annotated[list[str], Field(min_length=1, max_length=MOST_CANCELLED)] | None = about(
        "These.", [JOB_ID], None
    )
    filter: JobFilter | None = about("Or all that fit.", {"state": "queued"}, None)


class SkippedAnswer(Answer):
    """A job that was not stopped."""

    id: str = about("Its id.", JOB_ID)
    reason: str = about("Why not.", "the job has already succeeded")


class CancelledAnswer(Answer):
    """What a request to stop many jobs did."""

    cancelled: list[str] = about("Stopped, or about to.", [JOB_ID])
    skipped: list[SkippedAnswer] = Field(description="The others, with the reason.")
    has_more: bool = about("Whether more fit: ask again.", False)


@jobs.post("")
@describes(
    answers={200: JobAnswer, 202: JobAnswer},
    body=TrainBody | PredictBody | EvaluateBody,
    headers=("Prefer", "Idempotency-Key"),
    refuses=(404,),
    examples=EXAMPLES,
)
def submit() -> Response:
    """Accept a job; `Prefer: wait=N` answers with the finished one if it is fast enough."""
    job = submit_any(read_json())
    headers = {"Location": f"{ROOT}/jobs/{job.id}"}
    seconds = preferred_wait()
    # Accepted it is already: where nobody may wait any more, it is answered at once.
    if seconds is not None and (leave := try_place("poll")):
        try:
            job = contract.wait(current_backend(), current_owner(), job.id, seconds)
        finally:
            leave()
        headers["Preference-Applied"] = f"wait={seconds}"
    return _respond(job, 200 if job.state.final and seconds is not None else 202, headers)


@jobs.get("")
@describes(answers={200: PageAnswer[JobAnswer]}, query=JobListQuery)
def list_all() -> Response:
    """The owner's jobs, newest first."""
    query = read_query(JobListQuery)
    backend = current_backend()
    page = contract.list_page(
        backend,
        current_owner(),
        kind=query.kind,
        state=query.state,
        name=query.name,
        limit=query.limit,
        after=query.after,
    )
    online = {
        kind: backend.live.workers_online(QUEUES[kind]) for kind in {job.kind for job in page.data}
    }
    return respond_json(page_of(page, lambda job: JobAnswer.of(job, online[job.kind])))


@jobs.get("/<job:identifier>")
@describes(answers={200: JobAnswer, 304: None}, query=JobQuery, headers=("If-None-Match",))
def get(identifier: str) -> Response:
    """One job. `?wait=N` waits for its end or, with `If-None-Match`, for the next change."""
    seconds = read_query(JobQuery).wait
    backend, owner = current_backend(), current_owner()
    polled = polls.recall(backend, owner, identifier)
    if polled is None:
        job = contract.get(backend, owner, identifier)
        polled = polls.remember(job, _respond(job))
    response = polled.respond()
    known = request.if_none_match
    is_news = bool(known) and not known.contains_weak(polled.etag)
    if seconds and not polled.final and not is_news:
        seen = polled.version if known else None
        with place("poll"):
            response = _respond(contract.wait(backend, owner, identifier, seconds, seen))
    if known:
        response.make_conditional(request)
    return response


@jobs.delete("/<job:identifier>")
@describes(answers={204: None}, refuses=(409,))
def delete(identifier: str) -> Response:
    """Remove a job that is in a final state."""
    contract.delete(current_backend(), current_owner(), identifier)
    return Response(status=204)


@jobs.get("/<identifier>/download")
@describes(
    answers={200: Raw("application/x-ndjson", "`index`, `prompt` and the answer, a line each.")},
    refuses=(409,),
)
def download(identifier: str) -> Response:
    """The answers of a prediction for a stored text: JSON Lines, in the order of its lines."""
    job, pieces = readings.answers(current_backend(), current_owner(), identifier)
    # The first piece is read here, so that a missing file is an error and not half an answer.
    response = Response(chain([next(pieces, b"")], pieces), mimetype="application/x-ndjson")
    response.headers["Content-Disposition"] = f'attachment; filename="{job.id}.jsonl"'
    response.headers["Cache-Control"] = "no-store"
    return response


@jobs.post("/cancel")
@describes(
    answers={200: CancelledAnswer},
    body=CancelBody,
    examples={
        "these": {"ids": [JOB_ID]},
        "all trainings that wait": {"filter": {"kind": "train", "state": "queued"}},
    },
)
def cancel_many() -> Response:
    """Stop the jobs that are named, or all that fit and have not ended."""
    body = read_body(CancelBody)
    if (body.ids is None) == (body.filter is None):
        message = "give either `ids` or `filter`"
        raise InvalidInput("Say which jobs.", [{"loc": ["ids"], "msg": message}])
    answer = CancelledAnswer(cancelled=[], skipped=[], has_more=False)
    identifiers = body.ids
    if identifiers is None and body.filter is not None:
        identifiers, answer.has_more = _that_fit(body.filter)
    for identifier in dict.fromkeys(identifiers or ()):
        try:
            contract.cancel(current_backend(), current_owner(), identifier)
            answer.cancelled.append(identifier)
        except (NotFound, WrongState) as error:
            answer.skipped.append(SkippedAnswer(id=identifier, reason=str(error)))
    return respond_json(answer)


@jobs.post("/<identifier>/cancel")
@describes(answers={200: JobAnswer}, refuses=(409,))
def cancel(identifier: str) -> Response:
    """Stop a job for good; what it has learned is kept."""
    return _respond(contract.cancel(current_backend(), current_owner(), identifier))


@jobs.post("/<identifier>/pause")
@describes(answers={200: JobAnswer}, refuses=(409,))
def pause(identifier: str) -> Response:
    """Stop a training until it is resumed."""
    return _respond(contract.pause(current_backend(), current_owner(), identifier))


@jobs.post("/<identifier>/resume")
@describes(answers={200: JobAnswer}, refuses=(409,))
def resume(identifier: str) -> Response:
    """Let a paused training go on."""
    return _respond(contract.resume(current_backend(), current_owner(), identifier))


def _respond(job: Job, status: int = 200, headers: dict[str, str] | None = None) -> Response:
    online = current_backend().live.workers_online(QUEUES[job.kind])
    response = respond_json(JobAnswer.of(job, online), status, headers)
    response.add_etag(weak=True)
    return response


def _that_fit(wanted: JobFilter) -> tuple[list[str], bool]:
    """The ids of jobs that have not ended and fit, as many as are stopped at once."""
    states = ACTIVE_STATES if wanted.state is None else {wanted.state} & ACTIVE_STATES
    found: list[str] = []
    has_more = False
    for state in sorted(states):
        page = contract.list_page(
            current_backend(),
            current_owner(),
            kind=wanted.kind,
            state=state,
            name=wanted.name,
            limit=MOST_CANCELLED - len(found) or 1,
        )
        found += [job.id for job in page.data][: MOST_CANCELLED - len(found)]
        has_more = has_more or page.has_more
    return found, has_more
