"""`lstmq models`, `model`: what was trained or imported."""

from typing import Any

import click

from web.client import Json, model_path
from web.commands.connection import connected
from web.commands.options import json_option, page_options, url_option
from web.commands.terminal import (
    print_deleted,
    print_fields,
    print_json,
    print_page,
)
from web.commands.wording import number


@click.command()
@page_options
@json_option
@url_option
def models(url: str, *, as_json: bool, **wanted: Any) -> None:
    """List models, the newest first."""
    with connected(url) as client:
        page = client.page("models", **wanted)
    print_page(
        page,
        ("id", "name", "preset", "loss", "made"),
        (
            (
                *(model["id"], model["name"], model["config"]["preset"]),
                number(model["metrics"].get("validation_loss")),
                model["created_at"],
            )
            for model in page["data"]
        ),
        as_json=as_json,
    )


@click.command()
@click.argument("model")
@click.option("--rename", metavar="NAME", help="Give it another name.")
@click.option("--delete", is_flag=True, help="Remove it.")
@json_option
@url_option
def model(model: str, rename: str | None, url: str, *, delete: bool, as_json: bool) -> None:
    """Show MODEL (its id or name), or change it."""
    if delete and rename is not None:
        raise click.UsageError("--rename does not go with --delete")
    path = model_path(model)
    with connected(url) as client:
        if delete:
            client.ask("DELETE", path)
            print_deleted(model, as_json=as_json)
            return
        if rename is not None:
            found = client.ask("PATCH", path, json={"name": rename})
        else:
            found = client.ask("GET", path)
    if as_json:
        print_json(found)
    else:
        print_fields(facts(found))


def facts(model: Json) -> list[tuple[str, object]]:
    """What there is to say about a model."""
    config, metrics = model["config"], model["metrics"]
    shape = config["model"]
    return [
        ("id", model["id"]),
        ("name", model["name"]),
        ("made", model["created_at"]),
        ("training", model["job"]),
        ("preset", config["preset"]),
        ("tokens", config["tokenizer"]["level"]),
        ("network", f"{shape['layers']} x {shape['hidden_dim']}, embedding {shape['embed_dim']}"),
        ("loss", number(metrics.get("train_loss"), 4)),
        ("held out", number(metrics.get("validation_loss"), 4)),
        *((f"{each['name']}", f"{each['bytes']:,} bytes") for each in model["files"]),
    ]
