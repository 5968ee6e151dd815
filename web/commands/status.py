"""`lstmq status`: how the service is, in words. Exit code 1 when a part is missing."""

import sys

import click

from web.client import Json
from web.commands.connection import connected
from web.commands.options import json_option, url_option
from web.commands.terminal import Exit, print_json

WORDS = {"train": "trainings", "predict": "predictions", "evaluate": "evaluations"}
HANDS = {"train": "training workers", "predict": "predictors"}


@click.command()
@json_option
@url_option
def status(url: str, *, as_json: bool) -> None:
    """Is every part there, what waits, who works."""
    with connected(url) as client:
        found = client.status()
    if as_json:
        print_json(found)
    else:
        click.echo("\n".join(lines(found)))
    sys.exit(Exit.DONE if found["ready"] else Exit.FAILED)


def lines(found: Json) -> list[str]:
    """What a person reads."""
    told = [f"lstmq {found['version']} {'is ready' if found['ready'] else 'is NOT ready'}"]
    for part, wrong in found["parts"].items():
        told.append(f"  {part.replace('_', ' '):<16}{'ok' if wrong is None else wrong}")
    for hands in found["workers"]:
        told.append(
            f"  {hands['online']} {HANDS[hands['queue']]} online, {hands['busy']} of them busy"
        )
    for queue in found["queues"]:
        words = WORDS.get(queue["kind"], queue["kind"])
        waits = f", the first for {queue['oldest_seconds']:.0f} s" if queue["waiting"] else ""
        told.append(f"  {queue['waiting']} {words} wait{waits}")
    if found["other_versions"]:
        told.append("  of another version, restart them: " + ", ".join(found["other_versions"]))
    return told
