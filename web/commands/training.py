"""`lstmq train`: from a text to a model."""

from typing import Any

import click

from web.client import Json
from web.commands.configuration import (
    config_from,
    config_options,
    reading_options,
)
from web.commands.connection import connected
from web.commands.options import json_option, priority_option, url_option, wait_option
from web.commands.sources import Source, dataset_of, is_stored, name_of
from web.commands.terminal import note, print_json
from web.commands.watching import check_success, watch
from web.commands.wording import number

STOPPED = {"early": "it stopped early", "time limit": "it stopped at the time limit"}


@click.command()
@click.argument("source", metavar="FILE", type=Source(stored=True))
@click.option("--name", help="Name of the job and the model; else the file's.")
@config_options
@priority_option
@reading_options
@wait_option
@json_option
@url_option
def train(
    source: str,
    name: str | None,
    priority: str | None,
    layout: str | None,
    encoding: str | None,
    url: str,
    *,
    wait: bool,
    as_json: bool,
    **settings: Any,
) -> None:
    """Train a model on the text in FILE.

    Plain text, CSV, TSV, JSON Lines, or `prompt : completion` lines, in any common encoding. FILE
    may be `-` for standard input, or the id of a stored text. Prints the id of the model, or
    with --no-wait that of the job. Ctrl-C leaves the training, which goes on.
    """
    config = config_from(settings)
    with connected(url) as client:
        dataset = dataset_of(client, source, name or "", layout=layout, encoding=encoding)
        called = name or (None if is_stored(source) else name_of(source))
        job = client.submit("train", dataset=dataset, name=called, config=config, priority=priority)
        if wait:
            note(f"{client.url}/jobs/{job['id']}")
            job = watch(client, job)
        if as_json:
            print_json(job)
        elif not wait:
            click.echo(job["id"])
            note(f"Follow it: lstmq job {job['id']} --follow")
    if wait:
        check_success(job)
        if not as_json:
            tell_model(job)


def tell_model(job: Json) -> None:
    """What a training made, and what to do with it."""
    model, metrics = job["result"]["model"], job["metrics"]
    losses = [
        f"{words} {number(metrics[name])}"
        for name, words in (("train_loss", "loss"), ("validation_loss", "on held-out text"))
        if metrics.get(name) is not None
    ]
    stopped = STOPPED.get(job["result"].get("stopped"), "")
    if facts := ", ".join(filter(None, [*losses, stopped])):
        note(facts)
    click.echo(model)
    note(f"Ask it: lstmq predict {model} 'your prompt'")
