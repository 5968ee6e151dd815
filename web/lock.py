"""A data folder belongs to one running service; the lock file says to which.

The kernel drops the lock with the last process that holds it, however it ended, so a lock is never
stale. Its content is only for people and for the commands that look for the service.
"""

import contextlib
import fcntl
import json
import os
import time
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import IO, Any

LOCK_NAME = "lstmq.lock"
# How long the parts of a killed service may take to go (see warden).
TAKE_OVER_SECONDS = 5.0


class Occupied(Exception):
    """The data folder or the port belongs to somebody else; the message says to whom."""


@contextlib.contextmanager
def locked(folder: Path) -> Iterator[IO[str]]:
    """Hold the folder. Raises Occupied when a service runs on it."""
    with (folder / LOCK_NAME).open("a+") as lock:
        os.fchmod(lock.fileno(), 0o600)
        deadline = time.monotonic() + TAKE_OVER_SECONDS
        while not _try_lock(lock, fcntl.LOCK_EX):
            holder = _read(lock)
            # A dead holder's parts are on their way out; a living one stays.
            if _is_alive(holder.get("pid")) or time.monotonic() > deadline:
                raise Occupied(
                    f"lstmq already runs on {folder} (process {holder.get('pid', '?')}, "
                    f"{holder.get('url', 'starting')}). Stop it first, or choose another "
                    "folder with --data-dir."
                )
            time.sleep(0.1)
        try:
            yield lock
        finally:
            write(lock, {})


def write(lock: IO[str], content: Mapping[str, Any]) -> None:
    """Say who holds the lock."""
    lock.seek(0)
    lock.truncate()
    json.dump(content, lock)
    lock.flush()


def running_url(folder: Path) -> str | None:
    """Where the service of this folder listens; None when none is running."""
    with contextlib.suppress(OSError), (folder / LOCK_NAME).open() as lock:
        if not _try_lock(lock, fcntl.LOCK_SH):
            url = _read(lock).get("url")
            return url if isinstance(url, str) else None
    return None


def _try_lock(lock: IO[str], kind: int) -> bool:
    try:
        fcntl.flock(lock, kind | fcntl.LOCK_NB)
    except BlockingIOError:
        return False
    return True


def _read(lock: IO[str]) -> dict[str, Any]:
    lock.seek(0)
    try:
        content = json.load(lock)
    except ValueError:  # just being written
        return {}
    return content if isinstance(content, dict) else {}


def _is_alive(pid: object) -> bool:
    if not isinstance(pid, int):
        return False
    try:
        os.kill(pid, 0)
    except ProcessLookupError:
        return False
    except PermissionError:
        return True
    return True
