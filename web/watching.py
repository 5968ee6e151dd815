"""Everybody who watches jobs, behind one look at the records.

An open page holds a thread that sleeps; one poller a process asks for all watched jobs at once,
four times a second, and wakes those whose job has news. So two hundred open pages cost the records
one statement a look, and nobody who submits a job waits behind them. The poller ends when nobody
watches.
"""

import logging
import time
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, replace
from threading import Event as Bell
from threading import Lock, Thread

from worker import events, transitions, watching
from worker.backend import Backend
from worker.errors import Unavailable
from worker.records import Event, Job, JobState
from worker.watching import Head

log = logging.getLogger(__name__)

LOOK_SECONDS = 0.25
PLACES_SECONDS = 1.0  # places in line are dearer, and move slowly
KEPT_EVENTS = 200  # of each job, for those who follow it closely
# The key in `app.extensions`.
WATCHERS = "lstmq.watchers"


@dataclass(frozen=True)
class View:
    """What is known of a job: never changed, only replaced by a newer one."""

    number: int  # grows with every view of the job
    job: Job
    head: Head
    since: int  # later events are in `events`; earlier ones are in the records
    events: tuple[Event, ...]
    lost: bool = False  # the job was deleted, or the records cannot be reached


class Watchers:
    """The watched jobs and who watches them."""

    def __init__(self, backend: Backend) -> None:
        self._backend = backend
        self._lock = Lock()
        self._views: dict[str, View] = {}
        self._bells: dict[str, set[Bell]] = {}
        self._polling = False
        self._places_at = 0.0

    @contextmanager
    def watch(self, jobs: Sequence[Job]) -> Iterator[Bell]:
        """Watch jobs: the bell rings when one of them has a new `view`; clear it before looking."""
        bell = Bell()
        heads = watching.heads(self._backend, [job.id for job in jobs])
        with self._lock:
            for job in jobs:
                head = heads.get(job.id, Head(job.version, 0))
                first = View(0, job, replace(head, version=0), head.newest_event, ())
                self._views.setdefault(job.id, first)
                self._bells.setdefault(job.id, set()).add(bell)
            if not self._polling:
                self._polling = True
                Thread(target=self._poll, name="watchers", daemon=True).start()
        try:
            yield bell
        finally:
            with self._lock:
                for job in jobs:
                    self._bells[job.id].discard(bell)
                    if not self._bells[job.id]:
                        del self._bells[job.id], self._views[job.id]

    def view(self, identifier: str) -> View:
        """The newest view of a job that the caller watches."""
        with self._lock:
            return self._views[identifier]

    def _poll(self) -> None:
        while True:
            began = time.monotonic()
            with self._lock:
                if not self._views:
                    self._polling = False
                    return
                views = dict(self._views)
            try:
                found = self._look(views)
            except Unavailable:
                found = {name: replace(view, lost=True) for name, view in views.items()}
            except Exception:
                log.exception("a look at the watched jobs failed")
                found = {name: replace(view, lost=True) for name, view in views.items()}
            self._show(found)
            time.sleep(max(0.05, LOOK_SECONDS - (time.monotonic() - began)))

    def _look(self, views: dict[str, View]) -> dict[str, View]:
        """New views of the jobs that have news."""
        heads = watching.heads(self._backend, list(views))
        moved = [name for name, view in views.items() if heads.get(name, view.head) != view.head]
        # A record before its events: once it is final, none can be missing.
        jobs = watching.records(self._backend, moved)
        found: dict[str, View] = {}
        for name in moved:
            if name in jobs:
                found[name] = self._with_events(
                    replace(views[name], job=jobs[name], head=heads[name])
                )
        for name in views.keys() - heads.keys():
            found[name] = replace(views[name], lost=True)
        self._add_progress({name: view for name, view in views.items() if name not in found}, found)
        return found

    def _with_events(self, view: View) -> View:
        newest = view.events[-1].id if view.events else view.since
        if newest >= view.head.newest_event:
            return view
        fresh = events.after(self._backend, view.job.id, newest, KEPT_EVENTS)
        kept = (*view.events, *fresh)
        cut = kept[-KEPT_EVENTS - 1].id if len(kept) > KEPT_EVENTS else view.since
        return replace(view, since=cut, events=kept[-KEPT_EVENTS:])

    def _add_progress(self, still: dict[str, View], found: dict[str, View]) -> None:
        """What moves without the records: live progress, and places in line now and then."""
        running = [name for name, view in still.items() if view.job.state is JobState.RUNNING]
        for name, live in self._backend.live.progress(running).items():
            job = transitions.with_live(still[name].job, live)
            if job != still[name].job:
                found[name] = replace(still[name], job=job)
        if time.monotonic() - self._places_at < PLACES_SECONDS:
            return
        waiting = [name for name, view in still.items() if view.job.state is JobState.QUEUED]
        if waiting:
            self._places_at = time.monotonic()
            for name, place in watching.places(self._backend, waiting).items():
                if place != still[name].job.queue_position:
                    moved = replace(still[name].job, queue_position=place)
                    found[name] = replace(still[name], job=moved)

    def _show(self, found: dict[str, View]) -> None:
        with self._lock:
            for name, view in found.items():
                if name in self._views:
                    self._views[name] = replace(view, number=self._views[name].number + 1)
                    for bell in self._bells[name]:
                        bell.set()
