"""`lstmq sweep` and `sweeps`: a search for good settings, as many trainings."""

import contextlib
import sys
import time
from collections.abc import Callable, Iterator, Mapping
from typing import Any

import click
from rich.console import Console
from rich.live import Live
from rich.table import Table
from rich.text import Text

from web.client import FINAL, ApiError, Client, Json, segment
from web.commands.configuration import config_from, config_options, reading_options
from web.commands.connection import connected
from web.commands.options import json_option, page_options, priority_option, url_option, wait_option
from web.commands.searching import search_from, search_options, space_from
from web.commands.sources import Source, dataset_of, is_stored, name_of
from web.commands.terminal import (
    Exit,
    fail,
    note,
    print_deleted,
    print_json,
    print_page,
    print_table,
    printable,
)
from web.commands.wording import number, share
from web.event_stream import Patience

LOOK_SECONDS = 0.5
COLUMNS = ("trial", "settings", "state", "done", "loss", "held out", "job")


@click.command()
@click.argument("source", metavar="FILE", type=Source(stored=True))
@click.option("--name", help="Name of the sweep; else the file's.")
@search_options
@config_options
@priority_option
@reading_options
@wait_option
@json_option
@url_option
def sweep(
    source: str,
    name: str | None,
    values: tuple[str, ...],
    space: Json | None,
    layout: str | None,
    encoding: str | None,
    url: str,
    *,
    wait: bool,
    as_json: bool,
    **settings: Any,
) -> None:
    """Try settings on FILE and find the best.

    Prints the id of the best model, or with --no-wait that of the sweep. FILE may be `-` for
    standard input, or the id of a stored text. Ctrl-C leaves the sweep, which
    goes on: `lstmq sweeps ID --follow`.
    """
    config = config_from(settings)
    wanted = space_from(space, values)
    body: Json = {"config": config, "space": wanted} | search_from(wanted, settings)
    with connected(url) as client:
        dataset = dataset_of(client, source, name or "", layout=layout, encoding=encoding)
        called = name or (None if is_stored(source) else name_of(source))
        body |= {"dataset": dataset} | ({"name": called} if called else {})
        found = client.create("/sweeps", body)
        if wait:
            note(f"{client.url}/sweeps/{found['id']}")
            found = watch(client, found)
    _finish(found, waited=wait, as_json=as_json)


@click.command()
@click.argument("identifier", metavar="[ID]", required=False)
@click.argument("action", type=click.Choice(["show", "cancel", "delete"]), default="show")
@click.option("--follow", "-f", is_flag=True, help="Watch it to its end.")
@page_options
@json_option
@url_option
def sweeps(
    identifier: str | None, action: str, url: str, *, follow: bool, as_json: bool, **wanted: Any
) -> None:
    """List sweeps; or show sweep ID with its trials, cancel it, delete it."""
    if identifier is None and follow:
        raise click.UsageError("--follow needs the ID of a sweep")
    if identifier is None:
        _list(url, wanted, as_json=as_json)
        return
    if follow and action != "show":
        raise click.UsageError(f"--follow does not go with {action}")
    path = f"/sweeps/{segment(identifier)}"
    with connected(url) as client:
        if action == "delete":
            client.ask("DELETE", path)
            print_deleted(identifier, as_json=as_json)
            return
        found = (
            client.ask("POST", f"{path}/cancel") if action == "cancel" else client.ask("GET", path)
        )
        if follow:
            found = watch(client, found)
    if follow:
        _finish(found, waited=True, as_json=as_json)
    elif as_json:
        print_json(found)
    else:
        note(headline(found))
        print_table(COLUMNS, rows_of(found))


def _list(url: str, wanted: Mapping[str, Any], *, as_json: bool) -> None:
    with connected(url) as client:
        page = client.page("sweeps", **wanted)
    print_page(
        page,
        ("id", "name", "state", "trials", "best loss", "best model"),
        (
            (
                *(each["id"], each["name"], each["state"], len(each["trials"])),
                number((each["best"] or {}).get("loss"), 4),
                (each["best"] or {}).get("model"),
            )
            for each in page["data"]
        ),
        as_json=as_json,
    )


def watch(client: Client, sweep: Json) -> Json:
    """Show a sweep until its end and return it; leaving it does not stop it."""
    patience = Patience()
    again = f"lstmq sweeps {sweep['id']}"
    words = f"Watch it: {again} --follow\nStop it:  {again} cancel"
    try:
        with _table() as show:
            while True:
                show(sweep)
                if sweep["state"] in FINAL:
                    return sweep
                time.sleep(LOOK_SECONDS)
                try:
                    sweep = client.ask("GET", f"/sweeps/{segment(sweep['id'])}")
                    patience.renew()
                except ApiError as error:
                    patience.wait(error)
    except KeyboardInterrupt:
        fail(f"\nYou left; it goes on.\n{words}", Exit.INTERRUPTED)
    except ApiError as error:
        raise ApiError(f"{error}\n{words}", error.status) from error


def _finish(sweep: Json, *, waited: bool, as_json: bool) -> None:
    """Print what came of a sweep; the exit code says whether anything did."""
    best = sweep["best"] or {}
    if as_json:
        print_json(sweep)
    elif not waited:
        click.echo(sweep["id"])
        note(f"Watch it: lstmq sweeps {sweep['id']} --follow")
    else:
        print_table(COLUMNS, rows_of(sweep), err=True)
        note(headline(sweep))
        if best.get("model"):
            click.echo(best["model"])
            note(f"Ask the best: lstmq predict {best['model']} 'your prompt'")
    if waited and sweep["state"] != "succeeded":
        reason = (sweep["error"] or {}).get("message", "")
        fail(f"The sweep {sweep['state']}. {reason}".rstrip(), Exit.FAILED)


def headline(sweep: Json) -> str:
    """A sweep in a line: how far, and the best so far."""
    ended = sum(trial["state"] in FINAL for trial in sweep["trials"])
    told = f"{sweep['name']} {sweep['state']}, {ended} of {len(sweep['trials'])} trials ended"
    best = sweep["best"]
    return told if not best else f"{told}, best: trial {best['trial']}, loss {best['loss']:.4f}"


def rows_of(sweep: Json) -> list[list[str]]:
    """A row for each trial; the best one is marked."""
    best = (sweep["best"] or {}).get("trial")
    return [
        [
            f"{trial['number']}{' *' if trial['number'] == best else ''}",
            ", ".join(f"{path}={value}" for path, value in trial["settings"].items()),
            trial["state"] or "waiting",
            share(trial["fraction"]),
            number(trial["train_loss"], 4),
            number(trial["validation_loss"], 4),
            trial["job"] or "",
        ]
        for trial in sweep["trials"]
    ]


@contextlib.contextmanager
def _table() -> Iterator[Callable[[Json], None]]:
    """A table that changes on a terminal; elsewhere a line whenever a trial's state does."""
    console = Console(stderr=True)
    if not console.is_terminal:
        seen: dict[int, str] = {}

        def lines(sweep: Json) -> None:
            for trial, row in zip(sweep["trials"], rows_of(sweep), strict=True):
                if seen.get(trial["number"]) != row[2]:
                    seen[trial["number"]] = row[2]
                    note(f"trial {row[0]}: {row[1]}: {' '.join(filter(None, row[2:6]))}")

        yield lines
        return
    with Live(console=console, transient=True, redirect_stdout=sys.stdout.isatty()) as live:

        def draw(sweep: Json) -> None:
            table = Table(*COLUMNS, caption=Text(printable(headline(sweep))))
            for row in rows_of(sweep):
                table.add_row(*(Text(printable(cell)) for cell in row))
            live.update(table)

        yield draw
