"""`/sweeps`: a search for good settings; its trials are ordinary jobs."""

from functools import partial
from typing import Annotated, Any, Literal

from flask import Blueprint, Response
from pydantic import Field

from web.api.datasets import ListQuery
from web.api.parsing import AskedPriority, Body, idempotency_key, inside, read_body, read_query
from web.api.serialize import respond_json
from web.api.shapes import (
    DATASET_ID,
    EXAMPLE_TIME,
    JOB_ID,
    MODEL_ID,
    ROOT,
    JobError,
    PageAnswer,
    Time,
    iso_time,
    page_of,
    some_time,
)
from web.api.submitting import on_text
from web.auth import current_backend, current_owner
from web.operation import Answer, about, describes
from worker import sweeps as contract
from worker.records import JobState, Json, Priority, Sweep, Trial
from worker.spaces import Method

sweeps = Blueprint("sweeps", __name__, url_prefix="/sweeps")


SWEEP_ID = "sweep-2a4c6e8f0b1d3f5a7c9e"


class SweepBody(Body):
    """What to train on, and which settings to try."""

    name: str | None = about("Name of the sweep; else the text's.", "sizes", None)
    dataset: str | None = about("The id of a stored text.", DATASET_ID, None)
    text: str | None = about("Or the text itself.", "what is your name : Jay\n", None)
    config: dict[str, Any] = Field(
        default_factory=dict,
        description="Settings that all trials share.",
        examples=[{"preset": "word"}],
        json_schema_extra={"x-asked": "TrainConfig"},
    )
    space: dict[str, Any] = about(
        "By a setting's path, the values to try: a list or, for a random search, "
        "`{min, max, scale}`.",
        {"model.hidden_dim": [16, 32]},
    )
    method: Method = about("Every combination, or values drawn at random.", "grid", "grid")
    trials: Annotated[int, Field(ge=1)] | None = about("How many a random search tries.", 8, None)
    halving_factor: int | None = about(
        "Of so many trials the best one goes on at each rung; null: all go on.", 3, 3
    )
    seed: int = about("Start of the random numbers.", 0, 0, ge=0, le=2**31 - 1)
    priority: AskedPriority = about("Before others of yours, or after.", "normal", Priority.NORMAL)


class TrialAnswer(Answer):
    """One training of a sweep."""

    number: int = about("From 0.", 0)
    settings: Json = about("What it tries.", {"model.hidden_dim": 16})
    scores: list[float | None] = about("Its loss at each rung it reached.", [2.5])
    job: str | None = about("Its job; null: not submitted yet, or deleted since.", JOB_ID)
    state: JobState | None = about("The job's state.", "running")
    fraction: float | None = about("Share of its work done.", 0.4)
    train_loss: float | None = about("Loss on what is learned.", 2.5)
    validation_loss: float | None = about("Loss on held-out text.", 2.7)
    stopped: str | None = about("Why its training ended.", "finished")
    model: str | None = about("What it made.", MODEL_ID)

    @classmethod
    def of(cls, trial: Trial) -> "TrialAnswer":
        """A trial with what is known of its job."""
        job = trial.job
        return cls(
            number=trial.number,
            settings=trial.settings,
            scores=trial.scores,
            job=job.id if job else None,
            state=job.state if job else None,
            fraction=job.progress.fraction if job else None,
            train_loss=job.metrics.get("train_loss") if job else None,
            validation_loss=job.metrics.get("validation_loss") if job else None,
            stopped=(job.result or {}).get("stopped") if job else None,
            model=(job.result or {}).get("model") if job else None,
        )


class SweepLinks(Answer):
    """Where to go on."""

    self: str = about("This sweep.", f"{ROOT}/sweeps/{SWEEP_ID}")
    cancel: str = about("Where to stop it.", f"{ROOT}/sweeps/{SWEEP_ID}/cancel")


class SweepAnswer(Answer):
    """A search for good settings; losses are nats a token."""

    id: str = about("Its id.", SWEEP_ID)
    object: Literal["sweep"] = about("What this is.", "sweep", "sweep")
    name: str = about("What its owner called it.", "sizes")
    owner: str = about("Whose it is.", "local")
    state: JobState = about("Running until every trial has ended.", "running")
    created_at: Time = about("When it was accepted.", EXAMPLE_TIME)
    finished_at: Time | None = about("When the last trial ended.", None)
    dataset: str = about("The text of all trials.", DATASET_ID)
    config: Json = about("Settings that all trials share.", {"preset": "word"})
    space: Json = about("The values to try.", {"model.hidden_dim": [16, 32]})
    method: Method = about("How they are chosen.", "grid")
    halving_factor: int | None = about("Of so many trials the best one goes on.", 3)
    seed: int = about("Start of the random numbers.", 0)
    priority: Priority = about("The trials' priority.", "normal")
    rungs: list[float] = about("Shares of a training after which losers stop.", [0.33])
    rung: int = about("The next of them.", 0)
    trials: list[TrialAnswer] = Field(description="Every trial; without its job in lists.")
    best: Json | None = about("`trial`, `job`, `model` and `loss` of the best so far.", None)
    error: JobError | None = about("Why it failed.", None)
    links: SweepLinks = Field(description="Where to go on from here.")

    @classmethod
    def of(cls, sweep: Sweep) -> "SweepAnswer":
        """A sweep with its trials."""
        address = f"{ROOT}/sweeps/{sweep.id}"
        return cls(
            **sweep.request,
            id=sweep.id,
            name=sweep.name,
            owner=sweep.owner,
            state=sweep.state,
            created_at=some_time(sweep.created_at),
            finished_at=iso_time(sweep.finished_at),
            dataset=sweep.dataset,
            rungs=sweep.rungs,
            rung=max(0, sweep.rung),
            trials=[TrialAnswer.of(trial) for trial in sweep.trials],
            best=sweep.best,
            error=JobError(**sweep.error) if sweep.error else None,
            links=SweepLinks(self=address, cancel=f"{address}/cancel"),
        )


EXAMPLES = {
    "two sizes": {
        "dataset": DATASET_ID,
        "config": {"preset": "word", "training": {"epochs": 2}},
        "space": {"model.hidden_dim": [16, 32]},
    }
}


@sweeps.post("")
@describes(
    answers={202: SweepAnswer},
    body=SweepBody,
    headers=("Idempotency-Key",),
    refuses=(404,),
    examples=EXAMPLES,
)
def create() -> Response:
    """Accept a sweep: one training for each combination of settings."""
    body = read_body(SweepBody)
    sweep = on_text(partial(_create, body), name=body.name, dataset=body.dataset, text=body.text)
    return _accepted(sweep)


@sweeps.get("")
@describes(answers={200: PageAnswer[SweepAnswer]}, query=ListQuery)
def list_all() -> Response:
    """The owner's sweeps, newest first, without their trials' jobs."""
    query = read_query(ListQuery)
    page = contract.list_page(
        current_backend(), current_owner(), name=query.name, limit=query.limit, after=query.after
    )
    return respond_json(page_of(page, SweepAnswer.of))


@sweeps.get("/<identifier>")
@describes(answers={200: SweepAnswer})
def get(identifier: str) -> Response:
    """One sweep with every trial: its settings, its job and its losses."""
    sweep = contract.get(current_backend(), current_owner(), identifier)
    return respond_json(SweepAnswer.of(sweep))


@sweeps.post("/<identifier>/cancel")
@describes(answers={200: SweepAnswer}, refuses=(409,))
def cancel(identifier: str) -> Response:
    """Stop every trial for good; what they have learned is kept."""
    sweep = contract.cancel(current_backend(), current_owner(), identifier)
    return respond_json(SweepAnswer.of(sweep))


@sweeps.delete("/<identifier>")
@describes(answers={204: None}, refuses=(409,))
def delete(identifier: str) -> Response:
    """Remove a sweep that has ended; its jobs and models stay."""
    contract.delete(current_backend(), current_owner(), identifier)
    return Response(status=204)


def _create(body: SweepBody, dataset: str) -> Sweep:
    with inside("config"):
        return contract.create(
            current_backend(),
            current_owner(),
            name=body.name,
            dataset=dataset,
            config=body.config,
            space=body.space,
            method=body.method,
            trials=body.trials,
            halving_factor=body.halving_factor,
            seed=body.seed,
            priority=body.priority,
            idempotency_key=idempotency_key(),
        )


def _accepted(sweep: Sweep) -> Response:
    return respond_json(SweepAnswer.of(sweep), 202, {"Location": f"{ROOT}/sweeps/{sweep.id}"})
