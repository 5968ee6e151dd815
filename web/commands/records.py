"""`lstmq verify`, `backup`, `restore`: on the records and artifacts themselves, running or not."""

import contextlib
import sys
from collections.abc import Iterator
from dataclasses import asdict
from pathlib import Path
from typing import Any, NoReturn

import click
from pydantic import ValidationError

from web.commands.options import data_dir_option, json_option
from web.commands.terminal import Exit, fail, print_json
from web.lock import Occupied, locked
from worker.errors import WorkerError
from worker.settings import Settings


def read_settings(**given: Any) -> Settings:
    """The environment's settings with these laid over; a message and exit 2 when they are wrong."""
    try:
        return Settings(**{name: value for name, value in given.items() if value is not None})
    except ValidationError as error:
        lines = [
            f"LSTMQ_{str(item['loc'][0]).upper()}: {item['msg']}" if item["loc"] else item["msg"]
            for item in error.errors(include_url=False, include_input=False)
        ]
        fail("\n".join(lines), Exit.WRONG_USE)


@contextlib.contextmanager
def installation(data_dir: Path | None, *, make: bool = False) -> Iterator[Any]:
    """The records and artifacts themselves, running or not; what goes wrong is told, exit 1."""
    from worker.backend import open_backend  # noqa: PLC0415

    settings = read_settings(data_dir=data_dir)
    if not (make or settings.database_url or settings.data_dir.is_dir()):
        fail(f"there is no installation in {settings.data_dir}", Exit.WRONG_USE)
    try:
        with contextlib.closing(open_backend(settings)) as backend:
            yield backend
    except (WorkerError, OSError) as error:
        fail(str(error), Exit.FAILED)


@click.command()
@json_option
@data_dir_option
def verify(data_dir: Path | None, *, as_json: bool) -> None:
    """Check that records and artifacts agree.

    Reads everything; the exit code is 1 when something is missing or damaged.
    """
    from worker.verification import verify as check_all  # noqa: PLC0415 - not for other commands

    with installation(data_dir) as backend:
        report(check_all(backend), as_json=as_json)


@click.command()
@click.argument("folder", type=click.Path(path_type=Path))
@json_option
@data_dir_option
def backup(folder: Path, data_dir: Path | None, *, as_json: bool) -> None:
    """Copy records and artifacts into an empty FOLDER.

    The service may run meanwhile.
    """
    from worker.backup import back_up  # noqa: PLC0415

    with installation(data_dir) as backend:
        report(back_up(backend, folder), as_json=as_json)


@click.command()
@click.argument("folder", type=click.Path(exists=True, file_okay=False, path_type=Path))
@json_option
@data_dir_option
def restore(folder: Path, data_dir: Path | None, *, as_json: bool) -> None:
    """Make an installation of the backup in FOLDER.

    Refused where there is one already.
    """
    from worker import backup as copies  # noqa: PLC0415

    settings = read_settings(data_dir=data_dir)
    settings.data_dir.mkdir(mode=0o700, parents=True, exist_ok=True)
    try:
        with locked(settings.data_dir):
            report(copies.restore(settings, folder), as_json=as_json)
    except Occupied as error:
        fail(str(error), Exit.OCCUPIED)
    except (WorkerError, OSError) as error:
        fail(str(error), Exit.FAILED)


def report(done: Any, *, as_json: bool) -> NoReturn:
    """Say what was found or copied; exit 1 unless all of it is good."""
    if as_json:
        print_json({**asdict(done), "good": done.good})
    else:
        click.echo("\n".join(done.lines()))
    sys.exit(Exit.DONE if done.good else Exit.FAILED)
