"""A backend whose queue is silent: only the records, the store and the training are measured."""

import tempfile
import time
from collections.abc import Iterator
from contextlib import closing, contextmanager
from dataclasses import replace
from pathlib import Path
from typing import Any

from worker.backend import Backend, open_backend
from worker.records import Json, Progress
from worker.settings import Settings


class SilentLive:
    """No Redis; remembers what was shown of each job, and when."""

    def __init__(self) -> None:
        self.shown: dict[str, list[tuple[float, Progress]]] = {}

    def report_progress(self, job: str, progress: Progress, _metrics: Json) -> None:
        self.shown.setdefault(job, []).append((time.monotonic(), progress))

    def report_current(self, *_: object) -> None:
        """Nobody looks."""

    def count(self, *_: object) -> None:
        """Nobody counts."""

    def workers_online(self, _queue: str) -> int:
        return 1

    def progress(self, _jobs: object) -> Json:
        return {}

    def waiting_messages(self, _queue: str) -> int:
        return 10**9  # the queue is full: nothing is announced again

    def close(self) -> None:
        """Nothing to close."""


class SilentDoorbell:
    """Rings nowhere."""

    def ring(self, _queue: str) -> bool:
        return True

    ring_soon = ring


@contextmanager
def silent_backend(**settings: Any) -> Iterator[tuple[Backend, SilentLive]]:
    """An installation in a folder of its own, with what was shown of its jobs."""
    with tempfile.TemporaryDirectory(prefix="lstmq-bench-") as folder:
        chosen = Settings(data_dir=Path(folder), redis_url="redis://127.0.0.1:1", **settings)
        live, bell = SilentLive(), SilentDoorbell()
        silent: Any = {"live": live, "doorbell": bell}
        with closing(replace(open_backend(chosen), **silent)) as backend:
            yield backend, live
