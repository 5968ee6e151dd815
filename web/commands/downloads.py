"""What a service sends, written to a file or standard output as it arrives."""

import contextlib
import math
import os
import sys
import tempfile
from collections.abc import Iterator
from pathlib import Path
from typing import IO

import httpx
from rich.console import Console

from web.client import Client
from web.commands.sources import transfer
from web.commands.terminal import Exit, fail


def save(client: Client, path: str, target: Path | None) -> None:
    """Write what a route sends into a file, which is there once it is whole, or to standard output.

    A file that is there already is replaced.
    """
    with client.stream("GET", path) as response:
        if target is None:
            for chunk in response.iter_bytes():
                sys.stdout.buffer.write(chunk)
            sys.stdout.buffer.flush()
            return
        with replacing(target) as file:
            receive(response, file, target.name)


def receive(response: httpx.Response, file: IO[bytes], name: str, most: float = math.inf) -> None:
    """Write an answer into a file, with a bar where somebody looks; more than `most` bytes fail."""
    console = Console(stderr=True)
    with transfer(console) if console.is_terminal else contextlib.nullcontext() as progress:
        bar = progress.add_task(f"receiving {name}", total=None) if progress else None
        for chunk in response.iter_bytes():
            file.write(chunk)
            if file.tell() > most:
                fail("It sends more than it announced: this is not the file.", Exit.FAILED)
            if progress and bar is not None:
                progress.advance(bar, len(chunk))


@contextlib.contextmanager
def replacing(target: Path) -> Iterator[IO[bytes]]:
    """A file that takes the place of `target` when all of it was written; else nothing is left."""
    try:
        handle, name = tempfile.mkstemp(prefix=f".{target.name[:50]}.", dir=target.parent)
        unfinished = Path(name)
        try:
            with os.fdopen(handle, "wb") as file:
                yield file
            unfinished.chmod(0o666 & ~_umask())
            unfinished.replace(target)
        finally:
            unfinished.unlink(missing_ok=True)
    except OSError as error:
        fail(f"{target} cannot be written: {error.strerror or error}.", Exit.FAILED)


def _umask() -> int:
    mask = os.umask(0)
    os.umask(mask)
    return mask
