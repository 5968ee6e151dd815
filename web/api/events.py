"""`/jobs/{id}/events`: what happened to a job, as a list or as it happens."""

import time
from collections.abc import Iterable, Iterator
from contextlib import suppress

from flask import Blueprint, Response, current_app, request

from web.api.parsing import Query, read_query
from web.api.serialize import respond_json
from web.api.shapes import EventAnswer, Metrics, PageAnswer, iso_time, list_of, progress_of
from web.api.sse import HEARTBEAT, frame, respond_stream
from web.auth import current_backend, current_owner
from web.operation import Raw, about, describes
from web.watching import WATCHERS, Watchers
from worker import events as contract
from worker import jobs
from worker.backend import Backend
from worker.errors import InvalidInput, Unavailable
from worker.records import Event, Job

events = Blueprint("events", __name__, url_prefix="/jobs")

LARGEST_ID = 2**53 - 1
PAGE = 100
HEARTBEAT_SECONDS = 10.0
STREAM = "text/event-stream"
EXAMPLE = 'id: 17\ndata: {"id": 17, "type": "state", "at": null, "data": {"state": "running"}}\n\n'


class EventsQuery(Query):
    """Which events: those after one."""

    after: int = about("Only those after this one.", 0, 0, ge=0, le=LARGEST_ID)
    limit: int = about("At most so many.", PAGE, PAGE, ge=1, le=PAGE)


@events.get("/<identifier>/events")
@describes(
    answers={
        200: (
            PageAnswer[EventAnswer],
            Raw(STREAM, "Event after event until the job's end.", EXAMPLE),
        ),
        204: None,
    },
    query=EventsQuery,
    headers=("Last-Event-ID",),
)
def list_all(identifier: str) -> Response:
    """Events after one, oldest first: a page of JSON, or a stream until the job's end."""
    query = read_query(EventsQuery)
    backend, owner = current_backend(), current_owner()
    job = jobs.get(backend, owner, identifier)
    if request.accept_mimetypes.best_match(["application/json", STREAM]) == STREAM:
        return _stream(backend, job, query)
    found = contract.after(backend, job.id, query.after, query.limit + 1)
    data, has_more = found[: query.limit], len(found) > query.limit
    following = str(data[-1].id) if has_more else None
    return respond_json(list_of([EventAnswer.of(event) for event in data], has_more, following))


def _stream(backend: Backend, job: Job, query: EventsQuery) -> Response:
    seen = _last_event_id()
    start = query.after if seen is None else seen
    if job.state.final and not contract.after(backend, job.id, start, 1):
        # A browser reconnects for ever to a stream that just ends; this tells it to stop.
        return Response(status=204)
    watchers = current_app.extensions[WATCHERS]
    return respond_stream(_frames(backend, watchers, job, start))


def _frames(backend: Backend, watchers: Watchers, job: Job, after_id: int) -> Iterator[str]:
    """The stream: events with ids, progress without, comments in quiet times, then the end.

    It also ends when the records cannot be read: the client reconnects and loses nothing.
    """
    yield HEARTBEAT
    with suppress(Unavailable):
        yield from _followed(backend, watchers, job, after_id)


def _followed(backend: Backend, watchers: Watchers, job: Job, after_id: int) -> Iterator[str]:
    told = None
    with watchers.watch([job]) as bell:
        while True:
            bell.clear()
            view = watchers.view(job.id)
            if view.lost:
                return
            while after_id < view.since:  # from before we watched
                found = contract.after(backend, job.id, after_id, PAGE)
                yield from _texts(found)
                after_id = found[-1].id if len(found) == PAGE else view.since
            fresh = [event for event in view.events if event.id > after_id]
            yield from _texts(fresh)
            after_id = fresh[-1].id if fresh else after_id
            if view.job.state.final and after_id >= view.head.newest_event:
                return
            if (now := _progress(view.job)) != told:
                told = now
                yield frame(now.model_copy(update={"at": iso_time(time.time())}))
            if not bell.wait(HEARTBEAT_SECONDS):
                yield HEARTBEAT


def _texts(found: Iterable[Event]) -> Iterator[str]:
    return (frame(EventAnswer.of(event), event.id) for event in found)


def _progress(job: Job) -> EventAnswer:
    data = progress_of(job).model_dump() | {
        "metrics": Metrics(**job.metrics).model_dump(),
        "queue_position": job.queue_position,
    }
    return EventAnswer(id=None, type="progress", at=None, data=data)


def _last_event_id() -> int | None:
    given = request.headers.get("Last-Event-ID", "")
    if not given:
        return None
    # The length first: Python refuses to read numbers of thousands of digits.
    is_number = len(given) <= len(str(LARGEST_ID)) and given.isascii() and given.isdecimal()
    if not (is_number and int(given) <= LARGEST_ID):
        raise InvalidInput(
            "`Last-Event-ID` is not an id of an event.",
            [{"loc": ["Last-Event-ID"], "msg": "give the id of the last event you saw"}],
        )
    return int(given)
