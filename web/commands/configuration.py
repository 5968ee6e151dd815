"""Settings of a training from flags and a JSON file."""

import json
import re
from collections.abc import Callable
from typing import Any

import click

from web.client import Json

PRESETS = ["tutorial", "char", "word", "subword"]
UNITS = {"": 1, "s": 1, "m": 60, "h": 3600, "d": 86_400}
DURATION = re.compile(r"(\d{1,9}(?:\.\d{1,6})?)([smhd]?)")


class Duration(click.ParamType[float]):
    """Seconds, written as `90`, `90s`, `10m`, `2h` or `1d`."""

    name = "duration"

    def convert(
        self, value: Any, param: click.Parameter | None, ctx: click.Context | None
    ) -> float:
        """The seconds."""
        found = DURATION.fullmatch(str(value).strip())
        if not found:
            self.fail(f"{value!r} is no time: write 90s, 10m or 2h", param, ctx)
        return float(found[1]) * UNITS[found[2]]


class JsonFile(click.ParamType[Json]):
    """A file with one JSON object; `-` is standard input."""

    name = "json file"

    def convert(self, value: Any, param: click.Parameter | None, ctx: click.Context | None) -> Json:
        """The object."""
        if isinstance(value, dict):
            return value
        try:
            with click.open_file(value, encoding="utf-8") as file:
                content = json.load(file)
        except (OSError, ValueError) as error:
            self.fail(f"{value} cannot be read as JSON: {error}", param, ctx)
        if not isinstance(content, dict):
            self.fail(f"{value} holds no JSON object", param, ctx)
        return content


def config_options(command: Callable[..., None]) -> Callable[..., None]:
    """What decides how a model learns; see `config_from`."""
    for option in reversed(
        (
            click.option("--preset", type=click.Choice(PRESETS), help="The recipe to start from."),
            click.option("--epochs", type=int, help="How often the text is read."),
            click.option(
                *("--time-limit", "max_seconds"),
                type=Duration(),
                metavar="TIME",
                help="Plan it to end after about so long: 90s, 10m, 2h.",
            ),
            click.option("--init-from", metavar="MODEL", help="Go on from this model."),
            click.option(
                *("--config", "config_file"),
                type=JsonFile(),
                metavar="FILE",
                help="JSON file with settings.",
            ),
            click.option(
                *("--set", "pairs"),
                multiple=True,
                metavar="PATH=VALUE",
                help="Any setting, such as model.hidden_dim=128; may be repeated.",
            ),
        )
    ):
        command = option(command)
    return command


def reading_options(command: Callable[..., None]) -> Callable[..., None]:
    """How a file is read."""
    for option in (
        click.option(
            "--layout",
            type=click.Choice(["text", "lines", "pairs"]),
            help="How to read the file; else what it looks like.",
        ),
        click.option("--encoding", help="Its encoding; else what it looks like."),
    ):
        command = option(command)
    return command


def config_from(given: dict[str, Any]) -> Json:
    """The settings that `config_options` gave, taken out of a command's arguments.

    Flags go before `--set`, and that before the file.
    """
    config = dict(given.pop("config_file") or {})
    for pair in given.pop("pairs"):
        path, value = split_pair(pair, "--set")
        put(config, path, json_or_text(value))
    for name, path in (
        ("preset", "preset"),
        ("epochs", "training.epochs"),
        ("max_seconds", "training.max_seconds"),
        ("init_from", "init_from"),
    ):
        if (value := given.pop(name)) is not None:
            put(config, path, value)
    return config


def put(config: Json, path: str, value: object) -> None:
    """Set what stands at a path such as `model.hidden_dim`."""
    *rooms, name = path.split(".")
    for room in rooms:
        inner = config.get(room)
        config[room] = {**inner} if isinstance(inner, dict) else {}
        config = config[room]
    config[name] = value


def split_pair(pair: str, flag: str) -> tuple[str, str]:
    """The path and the value of `path=value`."""
    path, equals, value = pair.partition("=")
    if not (path and equals):
        raise click.BadParameter(
            f"{pair!r}: write a setting's path, =, and its value", None, None, flag
        )
    return path.strip(), value.strip()


def json_or_text(value: str) -> Any:
    """A value as JSON has it; a text need not be quoted."""
    try:
        return json.loads(value)
    except ValueError:
        return value
