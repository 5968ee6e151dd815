"""The system under attack: real processes, asked over HTTP, looked at through its records."""

import contextlib
import os
import random
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import httpx
import redis

from tests.chaos.ledger import Ledger
from tests.test_up import Service
from worker import models
from worker.backend import Backend, open_backend
from worker.database import jobs
from worker.records import FINAL_STATES
from worker.settings import Settings

LEASE_SECONDS, SLICE_SECONDS = 4.0, 1.0
SETTINGS = {
    "LSTMQ_SLICE_SECONDS": str(SLICE_SECONDS),
    "LSTMQ_LEASE_SECONDS": str(LEASE_SECONDS),
    "LSTMQ_TRAIN_WORKERS": "2",
    "LSTMQ_MAX_ACTIVE_JOBS": "0",
}
TEXT = "the cat sat on the mat and the dog lay by the door while the rain fell .\n" * 60
CONFIG = {"preset": "word", "model": {"embed_dim": 48, "hidden_dim": 96, "dropout": 0.2}}
EPOCHS, SEEDS = 160, (1, 2)
PROMPT, SAMPLING = "the cat", {"seed": 7, "max_tokens": 12}
ACTIVE_JOBS, PREDICT_EVERY = 3, 3
TRAIN_PARTS = ("train-1", "train-2")


def settings_of(folder: Path, database_url: str) -> dict[str, str]:
    """The service's environment; its folder is `folder / "var"`."""
    (folder / "clocks").mkdir()
    clock = Path(__file__).parent / "clock"
    return SETTINGS | {
        "LSTMQ_DATABASE_URL": database_url,
        "CHAOS_CLOCKS": str(folder / "clocks"),
        "PYTHONPATH": os.pathsep.join((str(clock), str(Path(__file__).parents[2]))),
    }


class System:
    """One `lstmq up` and everything the harness knows about it."""

    def __init__(
        self, service: Service, ledger: Ledger, seed: int, database_url: str, epochs: int
    ) -> None:
        self.service, self.ledger, self.seed, self._epochs = service, ledger, seed, epochs
        self.choose = random.Random()  # noqa: S311 - what a fault may choose; seeded by each
        self.clocks = service.folder.parent / "clocks"
        self.url = service.url()
        self.records: Backend = open_backend(
            Settings(data_dir=service.folder, database_url=database_url)
        )
        self.queue = redis.Redis.from_url(
            self.records.settings.effective_redis_url, socket_timeout=10
        )
        self._submitted = 0

    # -- work ------------------------------------------------------------------------------------

    def keep_busy(self) -> None:
        """Submit until there are enough unfinished jobs; now and then a durable prediction."""
        while sum(row.state not in FINAL_STATES for row in self.rows()) < ACTIVE_JOBS:
            found = models.list_page(self.records, "local", limit=1).data
            if found and self._submitted % PREDICT_EVERY == PREDICT_EVERY - 1:
                body = {"kind": "predict", "model": found[0].id, "prompt": PROMPT}
                self.submit(body | {"sampling": SAMPLING})
            else:
                self.submit({"kind": "train", "text": TEXT, "config": self._next_config()})

    def _next_config(self) -> dict[str, Any]:
        """The same for the n-th job of a seed, whenever it is submitted."""
        draw = random.Random(f"job {self.seed} {self._submitted}")  # noqa: S311
        training = {"epochs": self._epochs, "batch_size": 4, "bptt": 16, "patience": None}
        return CONFIG | {"training": training | {"seed": draw.choice(SEEDS)}}

    def submit(self, body: dict[str, Any]) -> None:
        """Ask with one key until there is an answer; from the 202 on it is in the ledger."""
        self._submitted += 1
        key = f"chaos-{self._submitted}"
        while True:
            with contextlib.suppress(httpx.TransportError):
                answer = httpx.post(
                    f"{self.url}/api/v1/jobs",
                    json=body,
                    headers={"Idempotency-Key": key},
                    timeout=20,
                )
                if answer.status_code == httpx.codes.ACCEPTED:
                    self.ledger.note("accepted", job=answer.json()["id"], kind=body["kind"])
                    return
                self.ledger.note("refused", status=answer.status_code, text=answer.text[:200])
            time.sleep(0.3)

    # -- looking ---------------------------------------------------------------------------------

    def rows(self) -> list[Any]:
        """Every job's record."""
        with self.records.database.reading() as connection:
            return list(connection.execute(jobs.select()).all())

    def row(self, identifier: str) -> Any:
        """One job's record."""
        return next(row for row in self.rows() if row.id == identifier)

    def leader(self, part: str) -> int | None:
        """The process of a part, if it is up."""
        pid = self.service.process_of(part)
        return pid if Path(f"/proc/{pid}").exists() else None

    def child(self, part: str) -> int | None:
        """The training child of a worker, if it has one."""
        parent = self.leader(part)
        if parent is None:
            return None
        with contextlib.suppress(OSError):
            words = Path(f"/proc/{parent}/task/{parent}/children").read_text().split()
            return int(words[0]) if words else None
        return None

    def job_of(self, part: str) -> Any:
        """The record of the job that a worker says it works on and that is leased."""
        parent = self.leader(part)
        with contextlib.suppress(Exception):
            for info in self.records.live.workers():
                if info.pid == parent and info.job:
                    row = self.row(info.job)
                    return row if row.lease_until is not None else None
        return None

    def goes_on(self, row: Any) -> Callable[[], bool]:
        """Whether the job of this record was advanced since; without one, whether any was."""
        if row is not None:
            seen, identifier = row.slices, row.id
            return lambda: self._advanced(self.row(identifier), seen)
        before = sum(row.slices for row in self.rows())
        return lambda: sum(row.slices for row in self.rows()) > before

    @staticmethod
    def _advanced(row: Any, seen: int) -> bool:
        return bool(row.slices > seen or row.state in FINAL_STATES)

    def is_back(self, part: str) -> Callable[[], bool]:
        """Whether a part has come up again."""
        old = self.service.process_of(part)
        return lambda: self.service.process_of(part) != old and self.leader(part) is not None

    def answers(self) -> bool:
        """Whether the web server does."""
        with contextlib.suppress(httpx.TransportError):
            return httpx.get(f"{self.url}/healthz", timeout=5).is_success
        return False

    def close(self) -> None:
        """Let go of everything."""
        self.queue.close()
        self.records.close()


def kill_group(pid: int, number: int) -> None:
    """A signal to a part with all its children."""
    with contextlib.suppress(ProcessLookupError):
        os.killpg(pid, number)
