"""`/jobs`: trainings and predictions that are kept until they are done."""

from typing import Any, Literal

from flask import Blueprint, Response, request
from pydantic import Field

from web.api.datasets import ListQuery, create_from_text
from web.api.parsing import (
    LONGEST_WAIT_SECONDS,
    Body,
    Query,
    check,
    idempotency_key,
    inside,
    preferred_wait,
    read_json,
    read_query,
)
from web.api.predict import PromptBody
from web.api.serialize import respond_json
from web.api.shapes import DATASET_ID, MODEL_ID, ROOT, JobAnswer, PageAnswer, page_of
from web.auth import current_backend, current_owner
from web.operation import about, describes
from web.places import place, try_place
from worker import datasets as dataset_contract
from worker import jobs as contract
from worker import submissions
from worker.errors import InvalidInput
from worker.records import Job, JobKind, JobState, Priority

jobs = Blueprint("jobs", __name__, url_prefix="/jobs")


class TrainBody(Body):
    """A training, on a stored dataset or on a text sent along."""

    kind: Literal["train"] = about("A training.", "train")
    name: str | None = about("Name of the job and its model; else the text's.", "lesson", None)
    dataset: str | None = about("The id of a stored text.", DATASET_ID, None)
    text: str | None = about("Or the text itself.", "what is your name : Jay\n", None)
    config: dict[str, Any] = Field(
        default_factory=dict,
        description="Settings; what is missing or `auto` is chosen from the data.",
        examples=[{"preset": "tutorial"}],
        json_schema_extra={"x-asked": "TrainConfig"},
    )
    priority: Priority = about("Before others of yours, or after.", "normal", Priority.NORMAL)


class PredictBody(PromptBody):
    """A prediction that is kept."""

    kind: Literal["predict"] = about("A prediction that is kept.", "predict")
    name: str | None = about("Name of the job.", "questions", None)
    model: str = about("A model, by id or name.", MODEL_ID)
    priority: Priority = about("Before others of yours, or after.", "normal", Priority.NORMAL)


EXAMPLES = {
    "a training on a stored text": {
        "kind": "train",
        "dataset": DATASET_ID,
        "config": {"preset": "tutorial", "training": {"epochs": 20}},
    },
    "a training on a text sent along": {
        "kind": "train",
        "name": "greetings",
        "text": "good morning\ngood evening\ngood night\n",
    },
    "a prediction that is kept": {
        "kind": "predict",
        "model": MODEL_ID,
        "prompts": ["what is", "your name"],
        "sampling": {"max_tokens": 5, "temperature": 0},
    },
}


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


@jobs.post("")
@describes(
    answers={200: JobAnswer, 202: JobAnswer},
    body=TrainBody | PredictBody,
    headers=("Prefer", "Idempotency-Key"),
    refuses=(404,),
    examples=EXAMPLES,
)
def submit() -> Response:
    """Accept a job; `Prefer: wait=N` answers with the finished one if it is fast enough."""
    value = read_json()
    kind = value.get("kind") if isinstance(value, dict) else None
    if kind == "train":
        job = _submit_train(check(TrainBody, value))
    elif kind == "predict":
        job = _submit_predict(check(PredictBody, value))
    else:
        raise InvalidInput(
            "A job needs a `kind`.", [{"loc": ["kind"], "msg": "give `train` or `predict`"}]
        )
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
    online = {kind: backend.live.workers_online(kind) for kind in {job.kind for job in page.data}}
    return respond_json(page_of(page, lambda job: JobAnswer.of(job, online[job.kind])))


@jobs.get("/<identifier>")
@describes(answers={200: JobAnswer, 304: None}, query=JobQuery, headers=("If-None-Match",))
def get(identifier: str) -> Response:
    """One job. `?wait=N` waits for its end or, with `If-None-Match`, for the next change."""
    seconds = read_query(JobQuery).wait
    backend, owner = current_backend(), current_owner()
    job = contract.get(backend, owner, identifier)
    response = _respond(job)
    known = request.if_none_match
    is_news = bool(known) and not known.contains_weak(response.get_etag()[0] or "")
    if seconds and not job.state.final and not is_news:
        seen = job.version if known else None
        with place("poll"):
            response = _respond(contract.wait(backend, owner, identifier, seconds, seen))
    response.make_conditional(request)
    return response


@jobs.delete("/<identifier>")
@describes(answers={204: None}, refuses=(409,))
def delete(identifier: str) -> Response:
    """Remove a job that is in a final state."""
    contract.delete(current_backend(), current_owner(), identifier)
    return Response(status=204)


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


def _submit_train(body: TrainBody) -> Job:
    if (body.dataset is None) == (body.text is None):
        raise InvalidInput(
            "Give either `dataset` or `text`.",
            [{"loc": ["dataset"], "msg": "give either `dataset` or `text`"}],
        )
    if body.dataset is not None:
        return _train_on(body, body.dataset)
    dataset = create_from_text(body.name or "text", body.text or "", came_with_job=True)
    job = None
    try:
        job = _train_on(body, dataset.id)
    finally:
        # Refused, or answered with the job of an earlier request: then nothing reads this dataset.
        if job is None or job.dataset != dataset.id:
            dataset_contract.delete(current_backend(), current_owner(), dataset.id)
    return job


def _train_on(body: TrainBody, dataset: str) -> Job:
    with inside("config"):
        return submissions.submit_train(
            current_backend(),
            current_owner(),
            name=body.name,
            dataset=dataset,
            config=body.config,
            priority=body.priority,
            idempotency_key=idempotency_key(),
        )


def _submit_predict(body: PredictBody) -> Job:
    with inside("sampling"):
        return submissions.submit_predict(
            current_backend(),
            current_owner(),
            name=body.name,
            model=body.model,
            prompts=body.all_prompts(),
            single=body.prompts is None,
            sampling=body.sampling,
            priority=body.priority,
            idempotency_key=idempotency_key(),
        )


def _respond(job: Job, status: int = 200, headers: dict[str, str] | None = None) -> Response:
    online = current_backend().live.workers_online(job.kind)
    response = respond_json(JobAnswer.of(job, online), status, headers)
    response.add_etag(weak=True)
    return response
