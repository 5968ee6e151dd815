"""Finding real processes by a mark in their environment, and waiting for things to happen."""

import time
from collections.abc import Callable
from pathlib import Path

import redis

PATIENCE_SECONDS = 60.0
MARK = "LSTMQ_TEST_MARK"


def eventually(check: Callable[[], object], seconds: float = PATIENCE_SECONDS) -> None:
    """Wait until `check()` is true."""
    deadline = time.monotonic() + seconds
    while not check():
        assert time.monotonic() < deadline, "it did not happen in time"
        time.sleep(0.05)


def await_redis(url: str, seconds: float = 20) -> None:
    """Wait until a Redis answers. Raises redis.ConnectionError when it does not in time."""
    deadline = time.monotonic() + seconds
    with redis.Redis.from_url(url) as client:
        while True:
            try:
                client.ping()
            except redis.ConnectionError:
                if time.monotonic() > deadline:
                    raise
                time.sleep(0.02)
            else:
                return


def marked(mark: str) -> set[int]:
    """Every living process whose environment holds this mark (Linux only)."""
    found = set()
    for folder in Path("/proc").iterdir():
        if folder.name.isdigit():
            try:
                environment = (folder / "environ").read_bytes()
                state = (folder / "stat").read_text().rpartition(")")[2].split()[0]
            except OSError:
                continue
            if f"{MARK}={mark}".encode() in environment.split(b"\0") and state != "Z":
                found.add(int(folder.name))
    return found
