"""`lstmq datasets`, `upload`: the texts that a service keeps."""

from typing import Any

import click

from web.client import segment
from web.commands.configuration import reading_options
from web.commands.connection import connected
from web.commands.options import json_option, page_options, url_option
from web.commands.sources import Source, send
from web.commands.terminal import note, print_deleted, print_json, print_page


@click.command()
@page_options
@click.option("--delete", metavar="ID", help="Remove this one instead.")
@json_option
@url_option
def datasets(url: str, delete: str | None, *, as_json: bool, **wanted: Any) -> None:
    """List stored texts, the newest first."""
    with connected(url) as client:
        if delete is not None:
            client.ask("DELETE", f"/datasets/{segment(delete)}")
            print_deleted(delete, as_json=as_json)
            return
        page = client.page("datasets", **wanted)
    print_page(
        page,
        ("id", "name", "layout", "bytes", "stored"),
        (
            [each[name] for name in ("id", "name", "layout", "bytes", "created_at")]
            for each in page["data"]
        ),
        as_json=as_json,
    )


@click.command()
@click.argument("source", metavar="FILE", type=Source())
@click.option("--name", default="", help="What to call it; else the file's name.")
@reading_options
@json_option
@url_option
def upload(source: str, url: str, *, as_json: bool, **fields: str | None) -> None:
    """Store the text in FILE (`-`: standard input), and print its id."""
    with connected(url) as client:
        stored = send(client, "datasets", source, fields)
    if as_json:
        print_json(stored)
        return
    click.echo(stored["id"])
    report = stored["report"]
    note(f"{stored['layout']}: {report['characters']:,} characters, {report['lines']:,} lines")
    for remark in report["notes"]:
        note(remark)
