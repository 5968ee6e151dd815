"""`lstmq pull` and `push`: models between a service and folders here, the same to the bit."""

import hashlib
import re
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import IO, cast

import click

from lstmcore.errors import LSTMError
from web.client import Client, Json, model_path
from web.commands.connection import connected
from web.commands.downloads import receive
from web.commands.options import json_option, url_option
from web.commands.sources import Pieces, Source, send
from web.commands.terminal import Exit, fail, print_json
from worker.errors import InvalidInput

CHUNK_BYTES = 256 * 1024
ZIP_BYTES = 1 << 20  # a zip file is never larger than what is in it by more


@click.command()
@click.argument("model")
@click.argument("folder", required=False, type=click.Path(path_type=Path))
@click.option("--force", is_flag=True, help="Replace a model that is in the folder.")
@json_option
@url_option
def pull(model: str, folder: Path | None, url: str, *, force: bool, as_json: bool) -> None:
    """Download MODEL into FOLDER, every file checked.

    MODEL is its id or name; without FOLDER it goes into one of its name. The folder is there once
    all of it is. `python -m lstmcore sample FOLDER PROMPT` uses it.
    """
    with connected(url) as client:
        found = client.ask("GET", model_path(model))
        target = folder or Path(_folder_name(found["name"]))
        if not _holds(target, found["files"]):
            if target.exists():
                _check_replaceable(target, force=force)
            _fetch(client, found, target)
    if as_json:
        print_json({"model": found["id"], "folder": str(target), "files": found["files"]})
    else:
        click.echo(str(target))


@click.command()
@click.argument("source", metavar="FOLDER|ZIP", type=click.Path(exists=True, path_type=Path))
@click.option("--name", default="", help="What to call it; else the folder's or the file's name.")
@json_option
@url_option
def push(source: Path, name: str, url: str, *, as_json: bool) -> None:
    """Import a model from its FOLDER or ZIP.

    A folder is checked before it is sent. Prints the new model's id.
    """
    with connected(url) as client:
        if source.is_dir():
            stored = _send_folder(client, source, name or source.resolve().name)
        else:
            path = Source().convert(source, None, None)
            stored = send(client, "models", path, {"name": name})
    if as_json:
        print_json(stored)
    else:
        click.echo(stored["id"])


def _fetch(client: Client, model: Json, target: Path) -> None:
    """Download, unpack, check, and only then put into place."""
    from web.archive import unpack  # noqa: PLC0415 - not for other commands

    most = sum(file["bytes"] for file in model["files"])
    with (
        _told(target, Exit.FAILED),
        tempfile.TemporaryDirectory(prefix=".lstmq-", dir=_parent(target)) as place,
    ):
        scratch, fresh = Path(place), Path(place) / "model"
        fresh.mkdir()
        with (scratch / "model.zip").open("w+b") as file:
            path = f"{model_path(model['id'])}/download"
            with client.stream("GET", path) as response:
                receive(response, file, model["name"], most + ZIP_BYTES)
            unpack(file, fresh, most)
        if not _holds(fresh, model["files"]):
            fail("What arrived is not what the service has: pull again.", Exit.FAILED)
        _check_folder(fresh)
        _replace(target, fresh, scratch / "before")


def _replace(target: Path, fresh: Path, before: Path) -> None:
    """Put a folder into the place of another, which comes back if that fails."""
    if target.exists():
        target.rename(before)
    try:
        fresh.rename(target)
    except OSError:
        if before.exists():
            before.rename(target)
        raise


def _send_folder(client: Client, folder: Path, name: str) -> Json:
    """Check a folder and send it as the zip that it would be downloaded as."""
    from lstmcore.model_record import FILES  # noqa: PLC0415
    from web.archive import pack  # noqa: PLC0415

    with _told(folder, Exit.WRONG_USE):
        _check_folder(folder)
        files = ((each, _chunks(folder / each)) for each in FILES)
        stream = cast(IO[bytes], Pieces(_Joined(pack(files, 0))))
        return client.send_file("models", stream, f"{name}.zip", {"name": name})


@contextmanager
def _told(folder: Path, code: Exit) -> Iterator[None]:
    """Say what is wrong with files here or with what arrived."""
    try:
        yield
    except (InvalidInput, LSTMError) as error:
        fail(f"{folder}: {error}", code)
    except OSError as error:
        fail(f"{error.filename or folder}: {error.strerror or error}.", Exit.FAILED)


def _check_folder(folder: Path) -> None:
    from lstmcore.model_check import check_model_folder  # noqa: PLC0415

    check_model_folder(folder)


def _check_replaceable(target: Path, *, force: bool) -> None:
    """End the command unless nothing but a model would be lost, and that is wanted."""
    from lstmcore.model_record import FILES  # noqa: PLC0415

    if not target.is_dir() or not {each.name for each in target.iterdir()} <= set(FILES):
        fail(f"{target} holds something else: name another folder.", Exit.WRONG_USE)
    if any(target.iterdir()) and not force:
        fail(f"{target} holds another model: name another folder, or --force.", Exit.WRONG_USE)


def _holds(folder: Path, files: list[Json]) -> bool:
    """Whether a folder has exactly these files, to the bit."""
    if not folder.is_dir():
        return False
    names = {each.name for each in folder.iterdir()}
    return names == {file["name"] for file in files} and all(
        _sha256(folder / file["name"]) == file["sha256"] for file in files
    )


def _sha256(path: Path) -> str:
    with path.open("rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()


def _chunks(path: Path) -> Iterator[bytes]:
    with path.open("rb") as file:
        while chunk := file.read(CHUNK_BYTES):
            yield chunk


def _parent(target: Path) -> Path:
    target.parent.mkdir(parents=True, exist_ok=True)
    return target.parent


def _folder_name(name: str) -> str:
    """A model's name as that of a folder here."""
    return re.sub(r"[^\w.-]+", "-", name).strip("-.") or "model"


class _Joined:
    """Pieces as a stream."""

    def __init__(self, pieces: Iterator[bytes]) -> None:
        self._pieces = pieces

    def read(self, _size: int) -> bytes:
        """The next piece, however large; empty at the end."""
        return next((piece for piece in self._pieces if piece), b"")
