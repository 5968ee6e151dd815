"""`lstmq keys` and `lstmq audit`: on the records here, or with `--url` those of another service.

On the records themselves, because somebody must make the first key before anybody can sign in.
"""

from collections.abc import Callable
from contextlib import ExitStack
from pathlib import Path
from typing import Any

import click

from web.client import Client, Json
from web.commands.connection import connected
from web.commands.options import data_dir_option, json_option, remote_option
from web.commands.records import installation
from web.commands.terminal import Exit, fail, print_json, print_table
from worker.errors import InvalidInput, NotFound

MOST_SHOWN = 100


@click.group()
def keys() -> None:
    """Who may come in: make keys, list them, end them."""


@keys.command()
@click.argument("owner")
@click.option("--role", type=click.Choice(["admin", "member", "viewer"]), default="member")
@click.option("--name", default="", help="What it is for.")
@click.option("--days", type=float, help="It ends after so many; else never.")
@json_option
@remote_option
@data_dir_option
def create(
    owner: str,
    role: str,
    name: str,
    days: float | None,
    url: str,
    data_dir: Path | None,
    *,
    as_json: bool,
) -> None:
    """Make a key for OWNER and show it, this once."""
    body = {"owner": owner, "role": role, "name": name, "days": days}

    def here(backend: Any) -> Json:
        from web.api.keys import NewKeyAnswer  # noqa: PLC0415 - not for other commands
        from worker import audit as log  # noqa: PLC0415
        from worker import keys as contract  # noqa: PLC0415

        key, token = contract.create(backend, owner=owner, role=role, name=name, days=days)
        log.note(backend, log.Deed("", "lstmq keys create"), target=key.id)
        return NewKeyAnswer.shown(key, token).model_dump()

    made = _ask(url, data_dir, here, lambda client: client.create_key(body), make=True)
    if as_json:
        print_json(made)
        return
    click.echo(made["key"])
    ends = f", ends {made['expires_at']}" if made["expires_at"] else ""
    click.echo(f"{made['id']}: {made['role']} of {made['owner']}{ends}. Shown once.", err=True)


@keys.command(name="list")
@json_option
@remote_option
@data_dir_option
def list_keys(url: str, data_dir: Path | None, *, as_json: bool) -> None:
    """The newest keys, ended ones too."""

    def here(backend: Any) -> Json:
        from web.api.keys import KeyAnswer  # noqa: PLC0415
        from web.api.shapes import page_of  # noqa: PLC0415
        from worker import keys as contract  # noqa: PLC0415

        page = contract.list_page(backend, limit=MOST_SHOWN)
        return page_of(page, KeyAnswer.of).model_dump()

    found = _ask(url, data_dir, here, lambda client: client.page("keys", MOST_SHOWN))
    columns = ("id", "owner", "role", "name", "prefix", "last_used_at", "expires_at", "revoked_at")
    _print(found, columns, as_json=as_json)


@keys.command()
@click.argument("identifier", metavar="KEY")
@json_option
@remote_option
@data_dir_option
def revoke(identifier: str, url: str, data_dir: Path | None, *, as_json: bool) -> None:
    """End KEY (its id) and every session it began, within a second."""

    def here(backend: Any) -> Json:
        from web.api.keys import KeyAnswer  # noqa: PLC0415
        from worker import audit as log  # noqa: PLC0415
        from worker import keys as contract  # noqa: PLC0415

        key = contract.revoke(backend, identifier)
        log.note(backend, log.Deed("", "lstmq keys revoke"), target=key.id)
        return KeyAnswer.of(key).model_dump()

    ended = _ask(url, data_dir, here, lambda client: client.revoke_key(identifier))
    if as_json:
        print_json(ended)
        return
    click.echo(f"{ended['id']} of {ended['owner']} is worth nothing any more.")


@click.command()
@click.option("--owner", help="Only what this owner did.")
@click.option("--limit", type=click.IntRange(1, MOST_SHOWN), default=20, show_default=True)
@json_option
@remote_option
@data_dir_option
def audit(owner: str | None, limit: int, url: str, data_dir: Path | None, *, as_json: bool) -> None:
    """Who changed what, when and from where; newest first."""

    def here(backend: Any) -> Json:
        from web.api.audit import EntryAnswer  # noqa: PLC0415
        from web.api.shapes import page_of  # noqa: PLC0415
        from worker import audit as log  # noqa: PLC0415

        page = log.list_page(backend, owner=owner, limit=limit)
        return page_of(page, EntryAnswer.of).model_dump()

    found = _ask(url, data_dir, here, lambda client: client.page("audit", limit, owner=owner))
    columns = ("created_at", "owner", "action", "target", "status", "address", "key", "request")
    _print(found, columns, as_json=as_json)


def _ask(
    url: str,
    data_dir: Path | None,
    here: Callable[[Any], Any],
    there: Callable[[Client], Any],
    *,
    make: bool = False,
) -> Any:
    """The answer of the records here or of a service; `make`: the records may be new."""
    with ExitStack() as opened:
        if url:
            return there(opened.enter_context(connected(url)))
        backend = opened.enter_context(installation(data_dir, make=make))
        try:
            return here(backend)
        except InvalidInput as error:
            lines = [f"{'.'.join(map(str, each['loc']))}: {each['msg']}" for each in error.errors]
            fail("\n".join([str(error), *lines]), Exit.WRONG_USE)
        except NotFound as error:
            fail(str(error), Exit.NOT_FOUND)


def _print(page: Json, columns: tuple[str, ...], *, as_json: bool) -> None:
    if as_json:
        print_json(page)
        return
    headings = [column.removesuffix("_at") for column in columns]
    print_table(headings, ([record[name] for name in columns] for record in page["data"]))
