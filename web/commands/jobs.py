"""`lstmq jobs`, `job`, `cancel`: what is kept until it is done."""

import sys
from collections.abc import Callable
from functools import partial
from pathlib import Path
from typing import Any

import click

from web.client import Client, Json, segment
from web.commands.connection import connected
from web.commands.downloads import save
from web.commands.options import json_option, page_options, url_option
from web.commands.scoring import measured
from web.commands.terminal import (
    Exit,
    note,
    print_deleted,
    print_fields,
    print_json,
    print_page,
    printable,
)
from web.commands.watching import check_success, watch
from web.commands.wording import number, share

KINDS = click.Choice(["train", "predict", "evaluate"])
STATES = ["queued", "running", "paused", "succeeded", "failed", "cancelled"]
ACTIONS = ["show", "cancel", "pause", "resume", "download", "delete"]
ONE_BY_ONE = 100  # jobs in one request


@click.command()
@click.option("--kind", type=KINDS, help="Only these.")
@click.option("--state", type=click.Choice(STATES), help="Only those in this state.")
@page_options
@json_option
@url_option
def jobs(url: str, *, as_json: bool, **wanted: Any) -> None:
    """List jobs, the newest first."""
    with connected(url) as client:
        page = client.page("jobs", **wanted)
    print_page(
        page,
        ("id", "name", "kind", "state", "done", "loss"),
        (
            (
                *(job["id"], job["name"], job["kind"], job["state"]),
                share(job["progress"]["fraction"]),
                number(job["metrics"].get("train_loss")),
            )
            for job in page["data"]
        ),
        as_json=as_json,
    )


@click.command()
@click.argument("identifier", metavar="ID")
@click.argument("action", type=click.Choice(ACTIONS), default="show")
@click.option("--follow", "-f", is_flag=True, help="Write its events as they come, to its end.")
@click.option(
    "--after", type=click.IntRange(0), default=0, help="Follow: only events after this one."
)
@click.option(
    *("--output", "-o"),
    type=click.Path(dir_okay=False, path_type=Path),
    help="Download: where to; else standard output.",
)
@json_option
@url_option
def job(
    identifier: str,
    action: str,
    after: int,
    output: Path | None,
    url: str,
    *,
    follow: bool,
    as_json: bool,
) -> None:
    """Show job ID, follow it, or change it.

    `cancel` keeps what a training has learned. `download` gives the answers of a batch as JSON
    Lines. With --follow and --json each line is an event; the exit code says how the job ended.
    """
    if follow and action not in ("show", "resume"):
        raise click.UsageError(f"--follow does not go with {action}")
    if output and action != "download":
        raise click.UsageError(f"--output does not go with {action}")
    path = f"/jobs/{segment(identifier)}"
    with connected(url) as client:
        if action == "download":
            save(client, f"{path}/download", output)
            return
        if action == "delete":
            client.ask("DELETE", path)
            print_deleted(identifier, as_json=as_json)
            return
        if action == "show":
            found = client.job(identifier)
        else:
            found = client.ask("POST", f"{path}/{action}")
        if follow:
            found = watch(client, found, after, print_json if as_json else print_event)
    if follow:
        check_success(found)
    elif as_json:
        print_json(found)
    else:
        print_fields(facts(found))


@click.command()
@click.argument("identifiers", metavar="ID...", nargs=-1)
@click.option("--kind", type=KINDS, help="All of this kind.")
@click.option("--state", type=click.Choice(STATES[:3]), help="All in this state.")
@click.option("--name", help="All whose name contains this.")
@click.option("--all", "everything", is_flag=True, help="All that have not ended.")
@json_option
@url_option
def cancel(
    identifiers: tuple[str, ...], url: str, *, everything: bool, as_json: bool, **wanted: Any
) -> None:
    """Stop jobs for good, by their ids or by what fits.

    What trainings have learned is kept.
    """
    fits = {name: value for name, value in wanted.items() if value is not None}
    if bool(identifiers) == bool(fits or everything):
        raise click.UsageError("name jobs by their ids, or by --kind, --state, --name or --all")
    with connected(url) as client:
        if identifiers:
            answer = _cancel_these(client, identifiers)
        else:
            answer = _cancel_all(partial(client.ask, "POST", "/jobs/cancel"), fits)
    if as_json:
        print_json(answer)
    else:
        for identifier in answer["cancelled"]:
            click.echo(identifier)
        for each in answer["skipped"]:
            note(f"{each['id']}: {each['reason']}")
    if identifiers and answer["skipped"]:
        sys.exit(Exit.FAILED)


def _cancel_these(client: Client, identifiers: tuple[str, ...]) -> Json:
    answer: Json = {"cancelled": [], "skipped": []}
    for begin in range(0, len(identifiers), ONE_BY_ONE):
        ids = list(identifiers[begin : begin + ONE_BY_ONE])
        part = client.ask("POST", "/jobs/cancel", json={"ids": ids})
        answer = {name: answer[name] + part[name] for name in answer}
    return answer


def _cancel_all(ask: Callable[..., Json], fits: Json) -> Json:
    answer: Json = {"cancelled": [], "skipped": []}
    while True:
        part = ask(json={"filter": fits})
        fresh = [each for each in part["cancelled"] if each not in answer["cancelled"]]
        answer["cancelled"] += fresh
        answer["skipped"] = part["skipped"]
        if not (part["has_more"] and fresh):
            return answer


def print_event(event: Json) -> None:
    """One line for an event."""
    time = (event["at"] or "")[11:19]
    click.echo(printable(f"{time}  {event['type']:<8} {_news(event)}"))


def _news(event: Json) -> str:
    data = event["data"]
    for name in ("message", "text"):
        if isinstance(data.get(name), str):
            return data[name] if name == "message" else repr(data[name])
    if event["type"] == "state":
        return str(data["state"])
    words = []
    for name, value in data.items():
        if value is not None and not isinstance(value, dict | list):
            words.append(f"{name.replace('_', ' ')} {_short(value)}")
    return ", ".join(words)


def _short(value: object) -> str:
    return f"{value:.4g}" if isinstance(value, float) else str(value)


def facts(job: Json) -> list[tuple[str, object]]:
    """What there is to say about a job."""
    progress, metrics, result = job["progress"], job["metrics"], job["result"] or {}
    steps = progress["total_steps"]
    told: list[tuple[str, object]] = [
        ("id", job["id"]),
        ("name", job["name"]),
        ("kind", job["kind"]),
        ("state", job["state"] + (f", asked to {job['pending']}" if job["pending"] else "")),
        ("priority", job["priority"]),
        ("in the queue", job["queue_position"]),
        ("created", job["created_at"]),
        ("started", job["started_at"]),
        ("finished", job["finished_at"]),
        ("done", share(progress["fraction"]) + (f" of {steps:,} steps" if steps else "")),
        ("loss", number(metrics.get("train_loss"), 4)),
        ("held out", number(metrics.get("validation_loss"), 4)),
        ("dataset", job["dataset"]),
        ("model", result.get("model")),
        ("stopped", result.get("stopped")),
        ("error", (job["error"] or {}).get("message")),
    ]
    if job["kind"] == "evaluate" and "loss" in result:
        told += measured(result)
    if "download" in result:
        told.append(("answers", f"lstmq job {job['id']} download"))
    return told
