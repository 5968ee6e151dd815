"""The artifact store: texts, checkpoints and models, each written once and checksummed.

A folder, S3, GCS or Azure through obstore. An artifact is never overwritten; its key is made here
and carries whatever tells two writers apart. What `put` returns is safe to point a record at: in a
folder the file and the names leading to it were synced to the disk first, which obstore leaves out.
"""

import contextlib
import hashlib
import os
import secrets
import shutil
from collections.abc import Iterator
from datetime import timedelta
from pathlib import Path
from typing import IO, TYPE_CHECKING, Any
from urllib.parse import unquote, urlparse

import obstore
from obstore.exceptions import AlreadyExistsError, BaseError
from obstore.store import LocalStore, ObjectStore, from_url

from worker.errors import Damaged, StoreError
from worker.records import StoredFile

if TYPE_CHECKING:
    from obstore.store import RetryConfig

CHUNK_BYTES = 1024 * 1024
# obstore would try for three minutes: longer than whoever waits, and slices are repeated anyway.
RETRY_SECONDS = 20
# A store across a network may take so long for one file. The second is the slowest line that is
# waited for: a large file has more time, else it could never be stored, however often it is tried.
REQUEST_SECONDS, SLOWEST_BYTES_A_SECOND = 30, 4 * CHUNK_BYTES

CLIENT_VARIABLES = {"s3": "AWS_", "s3a": "AWS_", "gs": "GOOGLE_"}  # AWS_ALLOW_HTTP and so on
CLIENT_OPTIONS = (
    *("allow_http", "allow_invalid_certificates", "connect_timeout", "http1_only", "http2_only"),
    *("proxy_url", "proxy_ca_certificate", "proxy_excludes", "root_certificate", "user_agent"),
)


class ArtifactStore:
    """Immutable files by key; every read is checked against the checksum in the record."""

    def __init__(self, url: str) -> None:
        """`url`: `file:///folder`, `s3://bucket/prefix`, … (credentials from the environment)."""
        self.folder: Path | None = None
        self._store: ObjectStore
        if url.startswith("file:"):
            self.folder = Path(unquote(urlparse(url).path))
            self.folder.mkdir(parents=True, exist_ok=True)
            self._store = LocalStore(self.folder)
        else:
            self._store = _remote(url, REQUEST_SECONDS)
        self._url = url
        self._patient: dict[int, ObjectStore] = {}  # by the seconds of a request

    def put(self, key: str, source: bytes | Path) -> StoredFile:
        """Write an artifact under a fresh key and sync it.

        Raises StoreError when the store refuses it (full, read-only, unreachable, key in use).
        """
        digest = hashlib.sha256()
        try:
            if isinstance(source, Path) and self.folder is not None:
                size = _copy(source, self.folder / key, digest)
            else:
                size = _hash(source, digest)
                obstore.put(self._for(size), key, source, mode="create", use_multipart=False)
            self._sync(key)
        except (AlreadyExistsError, FileExistsError) as error:
            raise StoreError(f"the artifact {key} exists already") from error
        except (BaseError, OSError) as error:
            raise StoreError(f"the artifact {key} cannot be written: {_reason(error)}") from error
        return StoredFile(key=key, sha256=digest.hexdigest(), bytes=size)

    def read(self, file: StoredFile) -> bytes:
        """The whole artifact. Raises Damaged when it is missing or was changed, StoreError."""
        return b"".join(self.stream(file))

    def stream(self, file: StoredFile) -> Iterator[bytes]:
        """The artifact in chunks; Damaged after the last one when the checksum differs."""
        digest = hashlib.sha256()
        try:
            found = obstore.get(self._for(file.bytes), file.key)
            for chunk in found.stream(min_chunk_size=CHUNK_BYTES):
                data = bytes(chunk)
                digest.update(data)
                yield data
        except FileNotFoundError as error:
            raise Damaged(f"the artifact {file.key} is missing") from error
        except (BaseError, OSError) as error:
            raise StoreError(f"the artifact {file.key} cannot be read: {_reason(error)}") from error
        if digest.hexdigest() != file.sha256:
            raise Damaged(f"the artifact {file.key} is damaged: its checksum differs")

    def download(self, file: StoredFile, target: Path) -> Path:
        """Copy an artifact to a local file; nothing is left at `target` when it is damaged."""
        try:
            with target.open("wb") as out:
                for chunk in self.stream(file):
                    out.write(chunk)
        except StoreError:
            target.unlink(missing_ok=True)
            raise
        except OSError as error:  # of the local copy: its disk is full, say
            target.unlink(missing_ok=True)
            raise StoreError(f"{file.key} cannot be copied to {target.parent}: {error}") from error
        return target

    def delete(self, *files: StoredFile) -> None:
        """Remove artifacts that no record points at any more; missing ones are fine."""
        for file in files:
            try:
                if self.folder is not None and "#" in file.key:  # obstore refuses such names
                    (self.folder / file.key).unlink()
                    continue
                obstore.delete(self._store, file.key)
            except FileNotFoundError:
                continue
            except (BaseError, OSError) as error:
                raise StoreError(
                    f"the artifact {file.key} cannot be removed: {_reason(error)}"
                ) from error

    def written(self) -> Iterator[tuple[str, float]]:
        """Every key and when it was written, what a killed writer left included.

        Raises StoreError.
        """
        if self.folder is not None:
            # Not through obstore, which hides the unfinished files of a killed writer.
            for path in self.folder.rglob("*"):
                with contextlib.suppress(FileNotFoundError):
                    if path.is_file():
                        key = path.relative_to(self.folder).as_posix()
                        yield key, path.stat().st_mtime
            return
        try:
            for page in obstore.list(self._store):
                for entry in page:
                    yield entry["path"], entry["last_modified"].timestamp()
        except (BaseError, OSError) as error:
            raise StoreError(f"the store does not answer: {error}") from error

    def check(self, room_bytes: int = 0) -> None:
        """Raise StoreError unless the store answers and, as a folder, has room and is writable."""
        if self.folder is not None:
            if not os.access(self.folder, os.W_OK):
                raise StoreError(f"the folder {self.folder} is not writable")
            if shutil.disk_usage(self.folder).free < max(room_bytes, CHUNK_BYTES):
                raise StoreError(f"the disk of {self.folder} is full")
            return
        try:
            next(iter(obstore.list(self._store, chunk_size=1)), None)
        except (BaseError, OSError) as error:
            raise StoreError(f"the store does not answer: {_reason(error)}") from error

    def _for(self, size: int) -> ObjectStore:
        """The store, patient enough for a file of this size."""
        seconds = REQUEST_SECONDS
        while seconds * SLOWEST_BYTES_A_SECOND < size:
            seconds *= 2
        if self.folder is not None or seconds == REQUEST_SECONDS:
            return self._store
        if seconds not in self._patient:
            self._patient[seconds] = _remote(self._url, seconds)
        return self._patient[seconds]

    def _sync(self, key: str) -> None:
        if self.folder is None:
            return
        path = self.folder / key
        for entry in (path, *path.parents):
            descriptor = os.open(entry, os.O_RDONLY)
            try:
                os.fsync(descriptor)
            finally:
                os.close(descriptor)
            if entry == self.folder:
                break


def _remote(url: str, seconds: int) -> ObjectStore:
    retry: RetryConfig = {
        "max_retries": 4,
        "retry_timeout": timedelta(seconds=RETRY_SECONDS),
    }
    prefix = CLIENT_VARIABLES.get(urlparse(url).scheme, "AZURE_")
    # obstore reads these from the environment only where no option is given.
    names = {f"{prefix}{option}".upper(): option for option in CLIENT_OPTIONS}
    client: Any = {option: os.environ[name] for name, option in names.items() if name in os.environ}
    client["timeout"] = timedelta(seconds=seconds)
    return from_url(url, retry_config=retry, client_options=client)


def _reason(error: Exception) -> str:
    """What went wrong, without the pages of debugging that obstore adds to it."""
    return str(error).partition("\n")[0]


def _hash(source: bytes | Path, digest: "hashlib._Hash") -> int:
    if isinstance(source, bytes):
        digest.update(source)
        return len(source)
    with source.open("rb") as file:
        return sum(len(chunk) for chunk in _chunks(file, digest))


def _copy(source: Path, target: Path, digest: "hashlib._Hash") -> int:
    """Copy a file whole or not at all, never over another; obstore would hold it in memory."""
    target.parent.mkdir(parents=True, exist_ok=True)
    # Called as obstore's unfinished files are.
    unfinished = target.with_name(f"{target.name}#{secrets.token_hex(8)}")
    try:
        with source.open("rb") as file, unfinished.open("xb") as copy:
            size = sum(copy.write(chunk) for chunk in _chunks(file, digest))
            copy.flush()
            os.fsync(copy.fileno())
        os.link(unfinished, target)
    finally:
        unfinished.unlink(missing_ok=True)
    return size


def _chunks(file: IO[bytes], digest: "hashlib._Hash") -> Iterator[bytes]:
    while chunk := file.read(CHUNK_BYTES):
        digest.update(chunk)
        yield chunk
