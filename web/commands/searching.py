"""What a sweep tries, from flags and a JSON file."""

from collections.abc import Callable, Sequence
from typing import Any

import click

from web.client import Json
from web.commands.configuration import JsonFile, json_or_text, split_pair

LOG = ":log"


def search_options(command: Callable[..., None]) -> Callable[..., None]:
    """Which settings are tried, and how; see `space_from` and `search_from`."""
    for option in reversed(
        (
            click.option(
                *("--try", "values"),
                multiple=True,
                metavar="PATH=VALUES",
                help="A setting and what to try: model.hidden_dim=16,32 or, drawn at random, "
                "training.learning_rate=0.001..0.1:log; may be repeated.",
            ),
            click.option(
                "--space", type=JsonFile(), metavar="FILE", help="JSON file with all of them."
            ),
            click.option(
                "--method",
                type=click.Choice(["grid", "random"]),
                help="Every combination, or draw; else draw where there is a range or --trials.",
            ),
            click.option("--trials", type=click.IntRange(1), help="How many are drawn."),
            click.option(
                "--halving",
                type=click.IntRange(2),
                help="Of so many trials one goes on at each rung, else of 3.",
            ),
            click.option("--no-halving", is_flag=True, help="All go on to their end."),
            click.option("--seed", type=int, help="Start of the random numbers."),
        )
    ):
        command = option(command)
    return command


def space_from(space: Json | None, pairs: Sequence[str]) -> Json:
    """The values to try by setting; flags go before the file."""
    found: Json = dict(space or {})
    for pair in pairs:
        path, value = split_pair(pair, "--try")
        found[path] = _range(pair, value) if ".." in value else _listed(value)
    if not found:
        raise click.UsageError("say what to try: --try model.hidden_dim=16,32, or --space FILE")
    return found


def search_from(space: Json, given: dict[str, Any]) -> Json:
    """How the space is searched, taken out of a command's arguments."""
    halving, keep_all = given.pop("halving"), given.pop("no_halving")
    if halving and keep_all:
        raise click.UsageError("--halving does not go with --no-halving")
    asked = {name: given.pop(name) for name in ("method", "trials", "seed", "priority")}
    if asked["method"] is None:
        draws = asked["trials"] or any(isinstance(values, dict) for values in space.values())
        asked["method"] = "random" if draws else "grid"
    found = {name: value for name, value in asked.items() if value is not None}
    if halving or keep_all:
        found["halving_factor"] = halving
    return found


def _listed(value: str) -> list[Any]:
    return [json_or_text(each.strip()) for each in value.split(",")]


def _range(pair: str, value: str) -> Json:
    low, _, high = value.removesuffix(LOG).partition("..")
    ends = [json_or_text(low), json_or_text(high)]
    if not all(isinstance(end, int | float) and not isinstance(end, bool) for end in ends):
        raise click.UsageError(f"--try {pair}: write a range as 0.001..0.1 or 0.001..0.1{LOG}")
    scale = "log" if value.endswith(LOG) else "linear"
    return {"min": ends[0], "max": ends[1], "scale": scale}
