"""How a prompt is continued, as flags: one for each of the core's settings."""

from collections.abc import Callable
from typing import Any

import click

from lstmcore.config import FIELD_HELP, Sampling
from web.client import Json
from web.commands.configuration import JsonFile

FLAGS = ("logprobs",)


def sampling_options(command: Callable[..., None]) -> Callable[..., None]:
    """A flag for each setting and a file for all of them; see `sampling_from`."""
    options = [
        click.option(
            "--sampling",
            "sampling_file",
            type=JsonFile(),
            metavar="FILE",
            help="JSON file with settings such as these.",
        )
    ]
    for name, field in Sampling.model_fields.items():
        flag, text = f"--{name.replace('_', '-')}", FIELD_HELP[f"sampling.{name}"]
        if name in FLAGS:
            options.append(click.option(flag, is_flag=True, default=None, help=text))
        elif name == "stop":
            options.append(click.option(flag, multiple=True, metavar="TEXT", help=text))
        else:
            kind = float if field.annotation is float else int
            known = "" if field.default is None else f"  [default: {field.default}]"
            options.append(click.option(flag, type=kind, metavar="N", help=text + known))
    for option in reversed(options):
        command = option(command)
    return command


def sampling_from(given: dict[str, Any]) -> Json:
    """What `sampling_options` gave, taken out of a command's arguments; flags before the file."""
    sampling: Json = dict(given.pop("sampling_file") or {})
    for name in Sampling.model_fields:
        value = given.pop(name)
        if value not in (None, ()):
            sampling[name] = list(value) if isinstance(value, tuple) else value
    return sampling
