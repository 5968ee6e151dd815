"""`/jobs/{id}`: one job, live; what one may do with it; its curve as a file."""

import csv
import io
import math
from dataclasses import asdict
from typing import Any

from flask import render_template, url_for
from werkzeug.wrappers import Response

from web.auth import current_backend, current_owner
from web.pages.blueprint import pages, see_other
from web.pages.failures import fix
from web.pages.story import all_events, tell
from web.security import check_csrf
from worker import jobs as contract
from worker import models
from worker.errors import NotFound
from worker.records import Job, Model

MOVES = {"cancel": contract.cancel, "pause": contract.pause, "resume": contract.resume}


@pages.get("/jobs/<identifier>")
def job(identifier: str) -> str:
    """One job with everything known about it now; scripts keep it up to date."""
    backend, owner = current_backend(), current_owner()
    contract.get(backend, owner, identifier)  # is it theirs?
    # The record after its events: what scripts ask for next then never lacks what the page shows.
    story = tell(identifier)
    record = contract.get(backend, owner, identifier)
    state = {
        "id": record.id,
        "name": record.name,
        "kind": record.kind,
        "state": record.state,
        "final": record.state.final,
        "curve": story.curve,
        "last_event": story.last_event,
        "used": story.used,
        "faults": story.faults,
        "parts": url_for("pages.job_parts", identifier=record.id),
    }
    return render_template("job.html", story=story, state=state, **_shown(record))


@pages.get("/jobs/<identifier>/parts")
def job_parts(identifier: str) -> str:
    """The parts of the page that change with the job's state, for scripts."""
    record = contract.get(current_backend(), current_owner(), identifier)
    return render_template("job_parts.html", **_shown(record))


@pages.get("/jobs/<identifier>/curve.csv")
def job_curve(identifier: str) -> Response:
    """Every measured loss as a table."""
    record = contract.get(current_backend(), current_owner(), identifier)
    text = io.StringIO()
    table = csv.writer(text)
    table.writerow(["step", "epoch", "training_loss", "held_out_loss", "held_out_perplexity"])
    for event in all_events(identifier):
        if event.type == "metrics":
            data, held = event.data, event.data.get("validation_loss")
            perplexity = None if held is None else math.exp(min(held, 700.0))
            table.writerow(
                [data.get("step"), data.get("epoch"), data.get("train_loss"), held, perplexity]
            )
    response = Response(text.getvalue(), mimetype="text/csv")
    response.headers["Content-Disposition"] = f'attachment; filename="{record.id}.csv"'
    return response


@pages.post("/jobs/<identifier>/<any(cancel, pause, resume):move>")
def move_job(identifier: str, move: str) -> Response:
    """Ask for a change of state, then show the job again."""
    check_csrf()
    MOVES[move](current_backend(), current_owner(), identifier)
    return see_other(url_for("pages.job", identifier=identifier))


@pages.post("/jobs/<identifier>/delete")
def delete_job(identifier: str) -> Response:
    """Remove a finished job; its model stays."""
    check_csrf()
    contract.delete(current_backend(), current_owner(), identifier)
    return see_other(url_for("pages.job_list"))


def _shown(record: Job) -> dict[str, Any]:
    return {
        "job": record,
        "progress": asdict(record.progress),
        "model": _model_of(record),
        "workers_online": current_backend().live.workers_online(),
        "fix": fix(record.error),
    }


def _model_of(record: Job) -> Model | None:
    """The model a training left or another job asks; None when there is none (any more)."""
    source: Any = record.result if record.kind == "train" else record.config
    reference = (source or {}).get("model")
    if not reference:
        return None
    try:
        return models.get(current_backend(), current_owner(), reference)
    except NotFound:
        return None
