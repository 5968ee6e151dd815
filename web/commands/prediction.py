"""`lstmq predict`: a model goes on with a prompt."""

from typing import Any

import click

from web.commands.connection import connected
from web.commands.options import json_option, url_option
from web.commands.terminal import note, print_json, printable
from web.commands.wording import join


@click.command()
@click.argument("model")
@click.argument("prompt")
@click.option("--max-tokens", type=int, default=30, show_default=True)
@click.option("--temperature", type=float, default=1.0, show_default=True, help="0 is greedy.")
@click.option("--seed", type=int)
@json_option
@url_option
def predict(model: str, prompt: str, url: str, *, as_json: bool, **sampling: Any) -> None:
    """Let MODEL (its id or name) go on with PROMPT."""
    given = {name: value for name, value in sampling.items() if value is not None}
    with connected(url) as client:
        result = client.predict(model, [prompt], given)[0]
    if as_json:
        print_json(result)
        return
    if result.get("notice"):
        note(result["notice"])
    for completion in result["completions"]:
        click.echo(printable(prompt + join(prompt, completion["text"])))
    note("")
    for item in result["next_tokens"][:5]:
        note(f"{item['probability']:7.1%}  {item['token']!r}")
