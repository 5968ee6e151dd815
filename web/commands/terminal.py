"""What commands say, and how they end: results on standard output, the rest on standard error."""

import json
import sys
import unicodedata
from collections.abc import Iterable, Sequence
from enum import IntEnum
from typing import Any, NoReturn

import click
from rich.console import Console
from rich.table import Table
from rich.text import Text

COLOURS = ("cyan", "green", "magenta", "blue", "yellow")


class Exit(IntEnum):
    """Exit codes, the same for every command."""

    DONE = 0
    FAILED = 1  # a job, a part, or the service itself
    WRONG_USE = 2  # arguments, settings, or input that is refused
    NO_SERVICE = 3  # nobody answers there
    NOT_FOUND = 4
    NOT_ALLOWED = 5  # no key, a wrong one, or one that may not
    NOT_NOW = 6  # over a limit, or the service is busy: try again later
    OCCUPIED = 7  # the folder or the port belongs to somebody else
    INTERRUPTED = 130  # Ctrl-C


def say(name: str, line: str, *, err: bool = False) -> None:
    """One line of a part's output, marked with its name."""
    colour = "white" if name == "lstmq" else COLOURS[sum(map(ord, name)) % len(COLOURS)]
    marked = click.style(f"{name:<10}", fg=colour, bold=name == "lstmq")
    click.echo(f"{marked} {line}", err=err)


def note(message: str) -> None:
    """Tell a person something that is not the result."""
    click.echo(printable(message), err=True)


def fail(message: str, code: int) -> NoReturn:
    """Say why on standard error and exit."""
    note(message)
    sys.exit(code)


def print_json(document: Any) -> None:
    """One JSON document on one line; ASCII, so that it survives every terminal and pipe."""
    click.echo(json.dumps(document))


def print_deleted(identifier: str, *, as_json: bool) -> None:
    """Say that something is gone."""
    if as_json:
        print_json({"id": identifier, "deleted": True})
    else:
        note(f"{identifier} is gone.")


def print_table(
    columns: Sequence[str], rows: Iterable[Sequence[object]], *, err: bool = False
) -> None:
    """A table for a terminal; tab-separated lines with a heading for everything else."""
    cells = [["" if cell is None else printable(str(cell)) for cell in row] for row in rows]
    if not (sys.stderr if err else sys.stdout).isatty():
        for line in [list(columns), *cells]:
            click.echo("\t".join(" ".join(cell.split()) for cell in line), err=err)
        return
    table = Table()
    for number, column in enumerate(columns):
        table.add_column(column, no_wrap=number == 0, overflow="fold")
    for line in cells:
        table.add_row(*(Text(cell) for cell in line))
    Console(stderr=err).print(table)


def print_page(
    page: dict[str, Any], columns: Sequence[str], rows: Iterable[Sequence[object]], *, as_json: bool
) -> None:
    """A page of a list as a table, and how to see the rest; or as the API has it."""
    if as_json:
        print_json(page)
        return
    print_table(columns, rows)
    if page["has_more"]:
        note(f"There are more: --after {page['next']}")


def print_fields(fields: Iterable[tuple[str, object]]) -> None:
    """Names and values, a line each; what is not known is left out."""
    known = [(name, str(value)) for name, value in fields if value not in (None, "")]
    width = max((len(name) for name, _ in known), default=0)
    for name, value in known:
        click.echo(f"{name:<{width}}  {printable(value)}")


def printable(text: str) -> str:
    """Text without what could move a terminal's cursor or change its state; lines stay."""
    return "".join(
        char
        if char in "\n\t" or unicodedata.category(char) not in ("Cc", "Cs")
        else char.encode("unicode_escape", "backslashreplace").decode()
        for char in text
    )
