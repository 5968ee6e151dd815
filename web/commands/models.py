"""`lstmq models`: what was trained or imported."""

from typing import Any

import click

from web.commands.connection import connected
from web.commands.options import json_option, page_options, url_option
from web.commands.terminal import print_json, print_table
from web.commands.wording import number


@click.command()
@page_options
@json_option
@url_option
def models(url: str, *, as_json: bool, **wanted: Any) -> None:
    """List models, the newest first."""
    with connected(url) as client:
        page = client.page("models", **wanted)
    if as_json:
        print_json(page)
        return
    print_table(
        ("id", "name", "preset", "loss", "made"),
        (
            (
                *(model["id"], model["name"], model["config"]["preset"]),
                number(model["metrics"].get("validation_loss")),
                model["created_at"],
            )
            for model in page["data"]
        ),
    )
