"""`/jobs/{id}/events`: what happened to a job, as a list or as it happens."""

import time
from collections.abc import Iterable, Iterator
from contextlib import suppress
from typing import NamedTuple

from flask import Blueprint, Response, current_app, request

from web.api.parsing import Query, read_query
from web.api.serialize import respond_json
from web.api.shapes import EventAnswer, Metrics, PageAnswer, iso_time, list_of, progress_of
from web.api.sse import HEARTBEAT, frame, respond_stream
from web.auth import current_backend, current_owner
from web.operation import Raw, about, describes
from web.watching import WATCHERS, View, Watchers
from worker import events as contract
from worker import jobs
from worker.backend import Backend
from worker.errors import InvalidInput, Unavailable
from worker.records import FINAL_STATES, Event, Job, JobState

events = Blueprint("events", __name__, url_prefix="/jobs")

LARGEST_ID = 2**53 - 1
PAGE = 100
HEARTBEAT_SECONDS = 10.0
PIECES_SECONDS = 0.1  # between two looks for what a prediction has written
STREAM = "text/event-stream"
EXAMPLE = 'id: 17\ndata: {"id": 17, "type": "state", "at": null, "data": {"state": "running"}}\n\n'


class Place(NamedTuple):
    """How far a stream was read: `17`, or `17.42` with the pieces of text seen after it."""

    event: int
    piece: int = 0

    def __str__(self) -> str:
        return f"{self.event}.{self.piece}" if self.piece else str(self.event)


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
    seen = _last_event_id() or Place(query.after)
    if job.state.final and not contract.after(backend, job.id, seen.event, 1):
        # A browser reconnects for ever to a stream that just ends; this tells it to stop.
        return Response(status=204)
    watchers = current_app.extensions[WATCHERS]
    return respond_stream(Following(backend, watchers, job, seen).frames())


class Following:
    """One stream: events with ids, progress without, comments in quiet times, then the end.

    It also ends when the records cannot be read: the client reconnects and loses nothing.
    """

    def __init__(self, backend: Backend, watchers: Watchers, job: Job, seen: Place) -> None:
        self._backend, self._watchers, self._job = backend, watchers, job
        self._event, self._piece = seen.event, seen.piece
        self._progress: EventAnswer | None = None
        # Of predictions for a whole text there is a file instead.
        self._has_text = job.kind == "predict" and job.dataset is None

    def frames(self) -> Iterator[str]:
        """Whatever is to be sent, as it comes."""
        yield HEARTBEAT
        with suppress(Unavailable):
            yield from self._follow()

    def _follow(self) -> Iterator[str]:
        said_at = time.monotonic()
        with self._watchers.watch([self._job]) as bell:
            while True:
                bell.clear()
                view = self._watchers.view(self._job.id)
                if view.lost:
                    return
                for text in self._news(view):
                    yield text
                    said_at = time.monotonic()
                if view.job.state.final and self._event >= view.head.newest_event:
                    return
                if time.monotonic() - said_at > HEARTBEAT_SECONDS:
                    yield HEARTBEAT
                    said_at = time.monotonic()
                writes = self._has_text and view.job.state is JobState.RUNNING
                bell.wait(PIECES_SECONDS if writes else HEARTBEAT_SECONDS)

    def _news(self, view: View) -> Iterator[str]:
        yield from self._events(view)
        if view.job.state.final:
            return
        yield from self._pieces()
        if (now := _progress(view.job)) != self._progress:
            self._progress = now
            yield frame(now.model_copy(update={"at": iso_time(time.time())}))

    def _events(self, view: View) -> Iterator[str]:
        while self._event < view.since:  # from before we watched
            found = contract.after(self._backend, self._job.id, self._event, PAGE)
            yield from self._told(found)
            if len(found) < PAGE:  # some of them may be newer than what is watched
                self._event = max(self._event, view.since)
        yield from self._told([event for event in view.events if event.id > self._event])

    def _told(self, found: Iterable[Event]) -> Iterator[str]:
        for event in found:
            if event.data.get("state") in FINAL_STATES:  # the end comes after all of the text
                yield from self._pieces()
            self._event = event.id
            yield frame(EventAnswer.of(event), str(Place(event.id, self._piece)))

    def _pieces(self) -> Iterator[str]:
        """What was written since."""
        for piece in self._backend.live.pieces(self._job.id, self._piece) if self._has_text else ():
            self._piece += 1
            place = str(Place(self._event, self._piece))
            yield frame(EventAnswer(id=place, type="token", at=None, data=piece), place)


def _progress(job: Job) -> EventAnswer:
    data = progress_of(job).model_dump() | {
        "metrics": Metrics(**job.metrics).model_dump(),
        "queue_position": job.queue_position,
    }
    return EventAnswer(id=None, type="progress", at=None, data=data)


def _last_event_id() -> Place | None:
    given = request.headers.get("Last-Event-ID", "")
    if not given:
        return None
    parts = given.split(".")
    # The length first: Python refuses to read numbers of thousands of digits.
    fine = len(parts) <= len(Place._fields) and all(
        len(part) <= len(str(LARGEST_ID)) and part.isascii() and part.isdecimal() for part in parts
    )
    numbers = [int(part) for part in parts] if fine else [LARGEST_ID + 1]
    if max(numbers) > LARGEST_ID:
        raise InvalidInput(
            "`Last-Event-ID` is not an id of an event.",
            [{"loc": ["Last-Event-ID"], "msg": "give the id of the last event you saw"}],
        )
    return Place(*numbers)
