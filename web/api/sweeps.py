"""`/sweeps`: a search for good settings; its trials are ordinary jobs."""

from typing import Annotated, Any

from flask import Blueprint, Response
from pydantic import Field

from web.api.datasets import ListQuery, create_from_text
from web.api.parsing import Body, idempotency_key, inside, read_body, read_query
from web.api.serialize import ROOT, iso_time, page_json, respond_json
from web.auth import current_backend, current_owner
from worker import datasets
from worker import sweeps as contract
from worker.errors import InvalidInput
from worker.records import Json, Priority, Sweep, Trial
from worker.spaces import Method

sweeps = Blueprint("sweeps", __name__, url_prefix="/sweeps")


class SweepBody(Body):
    """What to train on, and which settings to try."""

    name: str | None = None
    dataset: str | None = None
    text: str | None = None
    config: dict[str, Any] = Field(default_factory=dict)
    space: dict[str, Any]
    method: Method = "grid"
    trials: Annotated[int, Field(ge=1)] | None = None
    halving_factor: int | None = 3
    seed: Annotated[int, Field(ge=0, le=2**31 - 1)] = 0
    priority: Priority = Priority.NORMAL


@sweeps.post("")
def create() -> Response:
    """Accept a sweep: one training for each combination of settings."""
    body = read_body(SweepBody)
    if (body.dataset is None) == (body.text is None):
        raise InvalidInput(
            "Give either `dataset` or `text`.",
            [{"loc": ["dataset"], "msg": "give either `dataset` or `text`"}],
        )
    if body.dataset is not None:
        return _accepted(_create(body, body.dataset))
    dataset = create_from_text(body.name or "text", body.text or "")
    sweep = None
    try:
        sweep = _create(body, dataset.id)
    finally:
        # Refused, or answered with the sweep of an earlier request: then nothing reads this text.
        if sweep is None or sweep.dataset != dataset.id:
            datasets.delete(current_backend(), current_owner(), dataset.id)
    return _accepted(sweep)


@sweeps.get("")
def list_all() -> Response:
    """The owner's sweeps, newest first, without their trials' jobs."""
    query = read_query(ListQuery)
    page = contract.list_page(
        current_backend(), current_owner(), name=query.name, limit=query.limit, after=query.after
    )
    return respond_json(page_json(page, sweep_json))


@sweeps.get("/<identifier>")
def get(identifier: str) -> Response:
    """One sweep with every trial: its settings, its job and its losses."""
    return respond_json(sweep_json(contract.get(current_backend(), current_owner(), identifier)))


@sweeps.post("/<identifier>/cancel")
def cancel(identifier: str) -> Response:
    """Stop every trial for good; what they have learned is kept."""
    return respond_json(sweep_json(contract.cancel(current_backend(), current_owner(), identifier)))


@sweeps.delete("/<identifier>")
def delete(identifier: str) -> Response:
    """Remove a sweep that has ended; its jobs and models stay."""
    contract.delete(current_backend(), current_owner(), identifier)
    return Response(status=204)


def sweep_json(sweep: Sweep) -> Json:
    """A sweep; the losses of its trials in nats a token."""
    address = f"{ROOT}/sweeps/{sweep.id}"
    return {
        "id": sweep.id,
        "object": "sweep",
        "name": sweep.name,
        "owner": sweep.owner,
        "state": sweep.state.value,
        "created_at": iso_time(sweep.created_at),
        "finished_at": iso_time(sweep.finished_at),
        "dataset": sweep.dataset,
        **sweep.request,
        "rungs": sweep.rungs,
        "rung": max(0, sweep.rung),
        "trials": [_trial_json(trial) for trial in sweep.trials],
        "best": sweep.best,
        "error": sweep.error,
        "links": {"self": address, "cancel": f"{address}/cancel"},
    }


def _trial_json(trial: Trial) -> Json:
    job = trial.job
    return {
        "number": trial.number,
        "settings": trial.settings,
        "scores": trial.scores,
        "job": job.id if job else None,
        "state": job.state.value if job else None,
        "fraction": job.progress.fraction if job else None,
        "train_loss": job.metrics.get("train_loss") if job else None,
        "validation_loss": job.metrics.get("validation_loss") if job else None,
        "stopped": (job.result or {}).get("stopped") if job else None,
        "model": (job.result or {}).get("model") if job else None,
    }


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
    return respond_json(sweep_json(sweep), 202, {"Location": f"{ROOT}/sweeps/{sweep.id}"})
