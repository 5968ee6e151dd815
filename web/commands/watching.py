"""Showing a job until its end, on standard error; leaving it does not stop it."""

import contextlib
import sys
from collections.abc import Callable, Iterator

from rich.console import Console
from rich.progress import BarColumn, Progress, TaskProgressColumn, TextColumn

from web.client import FINAL, ApiError, Client, Json
from web.commands.terminal import Exit, fail, note, printable
from web.commands.wording import facts_of
from web.event_stream import story

Told = Callable[[Json], None]


def watch(client: Client, job: Json, after: int = 0, tell: Told | None = None) -> Json:
    """Show a job until its end and return it; `tell` hears every event that is kept."""
    now = dict(job)
    with leaving(job["id"]):
        with _bar(job["name"] or job["id"], quiet=tell is not None) as show:
            show(now)
            for event in story(client, job["id"], after):
                _take(now, event)
                if tell and event["id"] is not None:
                    tell(event)
                show(now)
        return client.job(job["id"])


@contextlib.contextmanager
def leaving(identifier: str) -> Iterator[None]:
    """Say how to come back when one leaves a job, or the service does."""
    words = f"Follow it: lstmq job {identifier} --follow\nStop it:   lstmq cancel {identifier}"
    try:
        yield
    except KeyboardInterrupt:
        fail(f"\nYou left; it goes on.\n{words}", Exit.INTERRUPTED)
    except ApiError as error:
        if not error.passing:
            raise
        raise ApiError(f"{error}\nThe job is kept.\n{words}", error.status) from error


def check_success(job: Json) -> None:
    """End the command unless a job did what it should."""
    if job["state"] != "succeeded":
        words = [f"{job['name']} ({job['id']}) {job['state']}."]
        if reason := (job["error"] or {}).get("message"):
            words.append(reason)
        if job["kind"] == "train" and (kept := (job["result"] or {}).get("model")):
            words.append(f"What it learned until then is kept: {kept}")
        fail("\n".join(words), Exit.FAILED)


def _take(now: Json, event: Json) -> None:
    """Bring what is known of a job up to date."""
    data = event["data"]
    if event["type"] == "state":
        now["state"] = data["state"]
    elif event["type"] == "progress":
        now["progress"] = data
        now["metrics"] = data["metrics"]
        now["queue_position"] = data["queue_position"]


@contextlib.contextmanager
def _bar(name: str, *, quiet: bool) -> Iterator[Told]:
    """A bar on a terminal; elsewhere a line for each state, unless it is told in another way."""
    console = Console(stderr=True)
    if not console.is_terminal:
        seen = [""]

        def line(job: Json) -> None:
            if job["state"] != seen[0] and not quiet:
                seen[0] = job["state"]
                note(f"{name}: {facts_of(job)}")

        yield line
        return
    columns = (
        *(TextColumn("{task.description}", markup=False), BarColumn(), TaskProgressColumn()),
        TextColumn("{task.fields[facts]}", markup=False),
    )
    with Progress(*columns, console=console, redirect_stdout=sys.stdout.isatty()) as progress:
        bar = progress.add_task(printable(name), total=1.0, facts="")

        def draw(job: Json) -> None:
            ended = job["state"] in FINAL
            done = 1.0 if job["state"] == "succeeded" else job["progress"]["fraction"]
            progress.update(bar, completed=done, facts=facts_of(job), refresh=ended)

        yield draw
