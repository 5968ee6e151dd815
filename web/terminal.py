"""What the commands of `lstmq` share: settings, the records, the service, and what they say.

Exit codes: 0 done, 1 it failed, 2 wrong use or settings, 3 the folder or port is taken.
"""

import contextlib
import os
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any, NoReturn

import click
from pydantic import ValidationError

from web.client import ApiError, Client
from web.lock import running_url
from worker.errors import WorkerError
from worker.settings import Settings

DEFAULT_URL = "http://127.0.0.1:8000"
COLOURS = ("cyan", "green", "magenta", "blue", "yellow")

data_dir_option = click.option(
    "--data-dir", type=click.Path(path_type=Path), help="Folder of all that is kept."
)
url_option = click.option(
    "--url", envvar="LSTMQ_URL", help="Server; else the one running here, else port 8000."
)


def read_settings(**given: Any) -> Settings:
    """The environment's settings with these laid over; a message and exit 2 when they are wrong."""
    try:
        return Settings(**{name: value for name, value in given.items() if value is not None})
    except ValidationError as error:
        lines = [
            f"LSTMQ_{str(item['loc'][0]).upper()}: {item['msg']}" if item["loc"] else item["msg"]
            for item in error.errors(include_url=False, include_input=False)
        ]
        fail("\n".join(lines), 2)


@contextlib.contextmanager
def installation(data_dir: Path | None, *, make: bool = False) -> Iterator[Any]:
    """The records and artifacts themselves, running or not; what goes wrong is told, exit 1."""
    from worker.backend import open_backend  # noqa: PLC0415

    settings = read_settings(data_dir=data_dir)
    if not (make or settings.database_url or settings.data_dir.is_dir()):
        fail(f"there is no installation in {settings.data_dir}", 2)
    try:
        with contextlib.closing(open_backend(settings)) as backend:
            yield backend
    except (WorkerError, OSError) as error:
        fail(str(error), 1)


@contextlib.contextmanager
def connected(url: str | None) -> Iterator[Client]:
    """A client of the named or the local service; what goes wrong becomes a message and exit 1."""
    data_dir = Path(os.environ.get("LSTMQ_DATA_DIR") or "var")
    with Client(
        url or running_url(data_dir) or DEFAULT_URL, os.environ.get("LSTMQ_API_KEY", "")
    ) as client:
        try:
            yield client
        except ApiError as error:
            fail(str(error), 1)


def say(name: str, line: str) -> None:
    """One line of a part's output, marked with its name."""
    colour = "white" if name == "lstmq" else COLOURS[sum(map(ord, name)) % len(COLOURS)]
    click.echo(f"{click.style(f'{name:<10}', fg=colour, bold=name == 'lstmq')} {line}")


def fail(message: str, code: int) -> NoReturn:
    """Say why on standard error and exit."""
    click.echo(message, err=True)
    sys.exit(code)
