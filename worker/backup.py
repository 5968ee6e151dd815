"""A copy of an installation: its records and every artifact that they point at.

The records are copied first, by SQLite's own backup, which gives one consistent moment however busy
the service is; then the artifacts of that moment, each checked against its checksum. What a running
training removed in between makes it begin with the records again; what was copied stays copied, and
the last time no record changes meanwhile. For Postgres and object stores their own tools do this
better (`docs/durability.md`).
"""

import contextlib
import os
import shutil
import sqlite3
from dataclasses import dataclass
from pathlib import Path

from worker.backend import Backend
from worker.database import Database
from worker.errors import Damaged, StoreError, WrongState
from worker.references import Reference, references
from worker.settings import Settings
from worker.store import ArtifactStore

RECORDS, ARTIFACTS = "lstmq.sqlite", "store"
MOST_ROUNDS = 4


@dataclass(frozen=True)
class Copy:
    """What a backup or a restore has."""

    artifacts: int
    bytes: int
    lacking: tuple[str, ...]  # damaged or missing in the installation itself

    @property
    def good(self) -> bool:
        """Whether everything was copied."""
        return not self.lacking

    def lines(self) -> list[str]:
        """The same for people."""
        told = [f"{self.artifacts} artifacts, {self.bytes:,} bytes copied"]
        return told + [f"missing or damaged, not copied: {key}" for key in self.lacking]


def back_up(backend: Backend, folder: Path) -> Copy:
    """Copy the installation into a new folder; the service may run meanwhile.

    Raises WrongState when the folder has something in it or the records are not SQLite.
    """
    source = _sqlite_file(backend.settings)
    if folder.exists() and any(folder.iterdir()):
        raise WrongState(f"{folder} is not empty: nothing is overwritten", "occupied")
    unfinished = folder.with_name(f"{folder.name}.unfinished")
    shutil.rmtree(unfinished, ignore_errors=True)
    unfinished.mkdir(parents=True, mode=0o700)
    copies = ArtifactStore((unfinished / ARTIFACTS).resolve().as_uri())
    done: set[str] = set()
    lacking: list[str] = []
    for number in range(MOST_ROUNDS):
        # By the last round little is new; nobody publishes for the moment that it takes.
        last = number == MOST_ROUNDS - 1
        with backend.database.writing() if last else contextlib.nullcontext():
            _copy_records(source, unfinished / RECORDS)
            needed = _references(unfinished / RECORDS)
            lacking = _copy_artifacts(backend.store, copies, needed, done)
        if set(lacking) <= _current(backend).keys():
            break  # what is lacking is really lacking, and no slice took it away
    with contextlib.suppress(StoreError):
        for key, _ in copies.written():
            if key not in needed:
                (unfinished / ARTIFACTS / key).unlink()
    if folder.exists():
        folder.rmdir()
    unfinished.rename(folder)
    files = [needed[key].file for key in done if key in needed]
    return Copy(len(files), sum(file.bytes for file in files), tuple(lacking))


def restore(settings: Settings, folder: Path) -> Copy:
    """Make an installation of a backup. The records come last: half a restore is none.

    Raises WrongState when the installation has records or artifacts, or the folder is no backup.
    """
    target, copy = _sqlite_file(settings), folder / RECORDS
    if not copy.is_file():
        raise WrongState(f"{folder} is no backup: it has no {RECORDS}", "no backup")
    store = ArtifactStore(settings.effective_store_url)
    if target.exists() or next(iter(store.written()), None):
        raise WrongState(f"there is an installation in {settings.data_dir} already", "occupied")
    target.parent.mkdir(parents=True, exist_ok=True, mode=0o700)
    unfinished = target.with_name(f"{target.name}.unfinished")
    _copy_records(copy, unfinished)
    needed = _references(unfinished)
    done: set[str] = set()
    source = ArtifactStore((folder / ARTIFACTS).resolve().as_uri())
    lacking = _copy_artifacts(source, store, needed, done)
    unfinished.rename(target)
    files = [needed[key].file for key in done]
    return Copy(len(files), sum(file.bytes for file in files), tuple(lacking))


def _copy_artifacts(
    source: ArtifactStore, target: ArtifactStore, needed: dict[str, Reference], done: set[str]
) -> list[str]:
    """Copy what is not in `done` yet; the keys of what is missing or damaged at its source."""
    lacking = []
    for key, reference in needed.items():
        if key not in done:
            try:
                target.put(key, source.read(reference.file))
                done.add(key)
            except Damaged:
                lacking.append(key)
    return lacking


def _copy_records(source: Path, target: Path) -> None:
    target.unlink(missing_ok=True)
    with (
        contextlib.closing(sqlite3.connect(f"file:{source}?mode=ro", uri=True)) as records,
        contextlib.closing(sqlite3.connect(target)) as copy,
    ):
        records.backup(copy)  # in one step: a single moment
        # Without a journal beside it, so that the file alone is the copy.
        copy.execute("pragma journal_mode=delete")
    descriptor = os.open(target, os.O_RDONLY)
    os.fsync(descriptor)
    os.close(descriptor)


def _references(file: Path) -> dict[str, Reference]:
    with (
        contextlib.closing(Database(f"sqlite:///{file}", pooled=False)) as records,
        records.reading() as connection,
    ):
        return references(connection)


def _current(backend: Backend) -> dict[str, Reference]:
    with backend.database.reading() as connection:
        return references(connection)


def _sqlite_file(settings: Settings) -> Path:
    prefix = "sqlite:///"
    if not settings.effective_database_url.startswith(prefix):
        raise WrongState("the records are not in SQLite: use pg_dump", "not SQLite")
    return Path(settings.effective_database_url.removeprefix(prefix))
