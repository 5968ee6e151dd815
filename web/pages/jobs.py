"""`/jobs` and `/jobs/{id}`: what is being learned, and how far it is."""

from dataclasses import dataclass, field
from typing import Any

from flask import abort, render_template, request, url_for
from werkzeug.wrappers import Response

from web.auth import current_backend, current_owner
from web.pages.blueprint import pages, see_other
from web.pages.wording import STATE_WORDS
from web.security import check_csrf
from worker import events, models
from worker import jobs as contract
from worker.errors import NotFound
from worker.records import Event, Job, JobState, Model

PAGE_LENGTH = 25
EVENTS_AT_ONCE = 1000
# Of long trainings only the newest of these are on the page; the curve is always whole.
SHOWN = 60
MOVES = {"cancel": contract.cancel, "pause": contract.pause, "resume": contract.resume}


@dataclass
class Story:
    """A job's durable events, sorted into what the page shows."""

    curve: list[tuple[int, float | None, float | None]] = field(default_factory=list)
    samples: list[Event] = field(default_factory=list)  # newest first, as are the next two
    slices: list[Event] = field(default_factory=list)
    log: list[Event] = field(default_factory=list)
    last_event: int = 0


@pages.get("/jobs")
def job_list() -> str:
    """The owner's jobs, newest first, all of them or those in one state."""
    state = request.args.get("state", "")
    if state and state not in JobState.__members__.values():
        abort(404)
    backend, owner = current_backend(), current_owner()
    page = contract.list_page(
        backend,
        owner,
        state=state or None,
        limit=PAGE_LENGTH,
        after=request.args.get("after"),
    )
    return render_template(
        "jobs.html",
        page=page,
        state=state,
        states={str(name): words for name, words in STATE_WORDS.items()},
        counts=contract.counts(backend, owner),
        workers_online=backend.live.workers_online(),
    )


@pages.get("/jobs/<identifier>")
def job(identifier: str) -> str:
    """One job with everything known about it now; scripts keep it up to date."""
    backend, owner = current_backend(), current_owner()
    contract.get(backend, owner, identifier)  # is it theirs?
    # The record after its events: what scripts ask for next then never lacks what the page shows.
    story = _story(identifier)
    record = contract.get(backend, owner, identifier)
    return render_template(
        "job.html",
        job=record,
        story=story,
        model=_model_of(record),
        workers_online=backend.live.workers_online(),
        state={
            "id": record.id,
            "kind": record.kind,
            "state": record.state,
            "final": record.state.final,
            "curve": story.curve,
            "last_event": story.last_event,
        },
    )


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


def _story(identifier: str) -> Story:
    story = Story()
    while True:
        batch = events.after(current_backend(), identifier, story.last_event, EVENTS_AT_ONCE)
        for event in batch:
            _add(story, event)
        if len(batch) < EVENTS_AT_ONCE:
            break
    for part in (story.samples, story.slices, story.log):
        part.reverse()
        del part[SHOWN:]
    return story


def _add(story: Story, event: Event) -> None:
    story.last_event = event.id
    data = event.data
    match event.type:
        case "metrics":
            train, validation = data.get("train_loss"), data.get("validation_loss")
            story.curve.append((data.get("step", 0), train, validation))
        case "sample":
            story.samples.append(event)
        case "slice":
            story.slices.append(event)
        case "log":
            story.log.append(event)


def _model_of(record: Job) -> Model | None:
    """The model a training left or a prediction asks; None when there is none (any more)."""
    source: Any = record.config if record.kind == "predict" else record.result
    reference = (source or {}).get("model")
    if not reference:
        return None
    try:
        return models.get(current_backend(), current_owner(), reference)
    except NotFound:
        return None
