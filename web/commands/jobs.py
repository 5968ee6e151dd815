"""`lstmq jobs`: what is kept until it is done."""

from typing import Any

import click

from web.commands.connection import connected
from web.commands.options import json_option, page_options, url_option
from web.commands.terminal import print_json, print_table
from web.commands.wording import number, share


@click.command()
@click.option("--kind", type=click.Choice(["train", "predict", "evaluate"]), help="Only these.")
@click.option(
    "--state",
    type=click.Choice(["queued", "running", "paused", "succeeded", "failed", "cancelled"]),
    help="Only those in this state.",
)
@page_options
@json_option
@url_option
def jobs(url: str, *, as_json: bool, **wanted: Any) -> None:
    """List jobs, the newest first."""
    with connected(url) as client:
        page = client.page("jobs", **wanted)
    if as_json:
        print_json(page)
        return
    print_table(
        ("id", "name", "kind", "state", "done", "loss"),
        (
            (
                *(job["id"], job["name"], job["kind"], job["state"]),
                share(job["progress"]["fraction"]),
                number(job["metrics"].get("train_loss")),
            )
            for job in page["data"]
        ),
    )
