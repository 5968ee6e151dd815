"""`/jobs`: the owner's jobs, found, sorted, live, and moved many at a time."""

import time
from collections.abc import Iterator
from typing import Any, get_args
from urllib.parse import parse_qsl

from flask import Response, abort, current_app, flash, render_template, request, url_for
from werkzeug.datastructures import MultiDict
from werkzeug.wrappers import Response as AnyResponse

from web.api.sse import HEARTBEAT, frame, respond_stream
from web.auth import current_backend, current_owner
from web.pages.blueprint import pages, see_other
from web.pages.jobs import MOVES
from web.pages.wording import KIND_WORDS, STATE_WORDS, list_note, state_word
from web.security import check_csrf
from web.watching import WATCHERS, Watchers
from worker import jobs as contract
from worker import watching
from worker.errors import InvalidInput, NotFound, Unavailable, WrongState
from worker.records import Job, JobKind, JobState, Json

PAGE_LENGTH = 25
MOST_AT_ONCE = 100  # jobs that one press of a button moves, or one stream follows
HEARTBEAT_SECONDS = 10.0
LONGEST_SEARCH = 200
# What an address of the list may say.
FILTERS = ("q", "state", "kind", "sort", "after")
SORTS = {
    "newest": "newest first",
    "oldest": "oldest first",
    "name": "by name",
    "finished": "last finished",
}
KINDS = {"train": "Trainings"} | {kind: f"{words}s" for kind, words in KIND_WORDS.items()}
DONE_WORDS = {
    "cancel": "cancelled",
    "pause": "paused",
    "resume": "resumed",
    "delete": "deleted",
}


@pages.get("/jobs")
def job_list() -> str:
    """The owner's jobs that fit, a page of them."""
    given = {name: request.args.get(name, "") for name in FILTERS}
    if given["state"] and given["state"] not in JobState.__members__.values():
        abort(404)
    if given["kind"] and given["kind"] not in get_args(JobKind):
        abort(404)
    sort: Any = given["sort"] if given["sort"] in SORTS else "newest"
    backend, owner = current_backend(), current_owner()
    page = contract.list_page(
        backend,
        owner,
        kind=given["kind"] or None,
        state=given["state"] or None,
        name=given["q"].strip()[:LONGEST_SEARCH] or None,
        sort=sort,
        limit=PAGE_LENGTH,
        after=given["after"] or None,
    )
    kept = {name: value for name, value in given.items() if value and name != "after"}
    return render_template(
        "jobs.html",
        page=page,
        given=given | {"sort": sort},
        kept=kept,
        states={str(name): words for name, words in STATE_WORDS.items()},
        kinds={kind: KINDS[kind] for kind in get_args(JobKind)},
        sorts=SORTS,
        counts=contract.counts(backend, owner),
        workers_online=backend.live.workers_online(),
        follows=[job.id for job in page.data if not job.state.final],
    )


@pages.post("/jobs/selected")
def move_jobs() -> AnyResponse:
    """Cancel, pause, resume or delete the chosen jobs, or one by its own button; then the list."""
    check_csrf()
    one, _, identifier = request.form.get("one", "").partition(":")
    action = one or request.form.get("action", "")
    chosen = [identifier] if one else request.form.getlist("job")[:MOST_AT_ONCE]
    if action not in DONE_WORDS:
        abort(404)
    flash(_move_all(action, chosen))
    query = MultiDict(parse_qsl(request.form.get("back", "").lstrip("?")[:2000]))
    back: dict[str, Any] = {name: query[name] for name in FILTERS if name in query}
    if action == "delete":
        back.pop("after", None)  # the page may have begun after a job that is gone
    return see_other(url_for("pages.job_list", **back))


@pages.get("/jobs/stream")
def follow_jobs() -> Response:
    """What a list shows of these jobs (`?job=…&job=…`), as it changes, until all are final."""
    wanted = request.args.getlist("job")[:MOST_AT_ONCE]
    jobs = watching.records(current_backend(), wanted, owner=current_owner())
    if not [job for job in jobs.values() if not job.state.final]:
        return Response(status=204)  # tells a browser not to ask again
    watchers = current_app.extensions[WATCHERS]
    return respond_stream(_rows(watchers, list(jobs.values())))


def _rows(watchers: Watchers, jobs: list[Job]) -> Iterator[str]:
    told: dict[str, Json] = {}
    quiet_since = time.monotonic()
    try:
        with watchers.watch(jobs) as bell:
            yield HEARTBEAT
            while True:
                bell.clear()
                views = [watchers.view(job.id) for job in jobs]
                for view in views:
                    row = _row(view.job)
                    if not view.lost and told.get(view.job.id) != row:
                        told[view.job.id], quiet_since = row, time.monotonic()
                        yield frame(row)
                if all(view.lost or view.job.state.final for view in views):
                    return
                bell.wait(HEARTBEAT_SECONDS)
                if time.monotonic() - quiet_since > HEARTBEAT_SECONDS:
                    quiet_since = time.monotonic()
                    yield HEARTBEAT
    except Unavailable:
        return


def _row(job: Job) -> Json:
    return {
        "id": job.id,
        "state": job.state,
        "word": state_word(job),
        "fraction": 1.0 if job.state is JobState.SUCCEEDED else round(job.progress.fraction, 4),
        "note": list_note(job),
    }


def _move_all(action: str, chosen: list[str]) -> str:
    """Do it where it can be done; what to tell the person."""
    backend, owner = current_backend(), current_owner()
    done, refused = 0, list[str]()
    for identifier in chosen:
        try:
            if action == "delete":
                contract.delete(backend, owner, identifier)
            else:
                MOVES[action](backend, owner, identifier)
            done += 1
        except (WrongState, NotFound, InvalidInput) as error:
            refused.append(str(error))
    if not chosen:
        return "No job was chosen."
    words = f"{done} {'job' if done == 1 else 'jobs'} {DONE_WORDS[action]}."
    if refused:
        more = f" and {len(refused) - 1} more" if len(refused) > 1 else ""
        words += f" Not possible: {refused[0]}{more}."
    return words
