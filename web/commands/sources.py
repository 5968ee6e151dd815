"""Where a command takes its text from: a file, standard input, or what the service has stored."""

import contextlib
import os
import re
import stat
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import IO, Any, cast

import click
from rich.console import Console
from rich.progress import BarColumn, DownloadColumn, Progress, TextColumn, TransferSpeedColumn

from web.client import Client, Json

STDIN = "-"
DATASET = re.compile(r"data-[0-9a-f]{20}")
SHOWN_BYTES = 4 << 20  # sending less than this is over before one could read a bar
LONGEST_TEXT_BYTES = 1 << 20


class Source(click.ParamType[str]):
    """A file that is there, `-`, or the id of a stored text where that is allowed."""

    name = "file"

    def __init__(self, *, stored: bool = False) -> None:
        self._stored = stored

    def convert(self, value: Any, param: click.Parameter | None, ctx: click.Context | None) -> str:
        """The source as it was given, once it can be read."""
        if value == STDIN or (self._stored and is_stored(value)):
            return str(value)
        return str(click.Path(exists=True, dir_okay=False).convert(value, param, ctx))


def is_stored(source: str) -> bool:
    """Whether this is the id of a stored text, and no file."""
    return DATASET.fullmatch(source) is not None and not Path(source).exists()


def name_of(source: str) -> str:
    """What a file is called without its ending."""
    return "stdin" if source == STDIN else Path(source).stem


def dataset_of(client: Client, source: str, name: str = "", **reading: str | None) -> str:
    """The id of the stored text; a file or standard input is stored first."""
    if is_stored(source):
        return source
    identifier: str = send(client, "datasets", source, {"name": name, **reading})["id"]
    return identifier


def send(client: Client, resource: str, source: str, fields: dict[str, str | None]) -> Json:
    """Store a file or standard input, read and sent piece by piece."""
    given = {field: value for field, value in fields.items() if value}
    with opened(source) as file, shown(file, f"sending {Path(source).name}") as told:
        filename = "stdin.txt" if source == STDIN else Path(source).name
        return client.send_file(resource, cast(IO[bytes], told), filename, given)


@contextlib.contextmanager
def opened(source: str) -> Iterator[IO[bytes]]:
    """The bytes of a file or of standard input."""
    if source == STDIN:
        yield sys.stdin.buffer
        return
    with Path(source).open("rb") as file:
        yield file


def read_text(value: str) -> str:
    """The argument itself, or standard input for `-`, without the newline at its end."""
    if value != STDIN:
        return value
    data = sys.stdin.buffer.read(LONGEST_TEXT_BYTES + 1)
    if len(data) > LONGEST_TEXT_BYTES:
        message = f"standard input has more than {LONGEST_TEXT_BYTES:,} bytes; give it as a file"
        raise click.UsageError(message)
    try:
        return data.decode("utf-8-sig").removesuffix("\n").removesuffix("\r")
    except UnicodeDecodeError:
        raise click.UsageError("standard input is not UTF-8 text") from None


class Pieces:
    """A stream without a length or a way back, such as a pipe; read piece by piece."""

    def __init__(self, stream: Any) -> None:
        self._stream = stream

    def read(self, size: int = -1) -> bytes:
        """The next bytes."""
        data: bytes = self._stream.read(size)
        return data


class Shown(Pieces):
    """A file whose reading moves a bar."""

    def __init__(self, file: IO[bytes], progress: Progress, total: int, words: str) -> None:
        super().__init__(file)
        self._progress, self._bar = progress, progress.add_task(words, total=total)
        self.fileno, self.seek = file.fileno, file.seek  # so that its length can be told

    def read(self, size: int = -1) -> bytes:
        """The next bytes."""
        data = super().read(size)
        self._progress.advance(self._bar, len(data))
        return data


@contextlib.contextmanager
def shown(file: IO[bytes], words: str) -> Iterator[Any]:
    """The same to be sent: with a bar where it is large and somebody looks."""
    size = _size(file)
    if size is None:
        yield Pieces(file)
        return
    console = Console(stderr=True)
    if size < SHOWN_BYTES or not console.is_terminal:
        yield file
        return
    with transfer(console) as progress:
        yield Shown(file, progress, size, words)


def transfer(console: Console) -> Progress:
    """A bar for bytes on their way."""
    columns = (
        *(TextColumn("{task.description}", markup=False), BarColumn(), DownloadColumn()),
        TransferSpeedColumn(),
    )
    return Progress(*columns, console=console, transient=True, redirect_stdout=sys.stdout.isatty())


def _size(file: IO[bytes]) -> int | None:
    """Bytes of a regular file; None for everything else."""
    try:
        found = os.fstat(file.fileno())
    except OSError:
        return None
    return found.st_size if stat.S_ISREG(found.st_mode) else None
