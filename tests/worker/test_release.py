"""For the minutes of an upgrade old and new processes work side by side, and lose nothing."""

import json
from dataclasses import asdict, replace
from pathlib import Path

import pytest
import sqlalchemy as sa

from tests.worker.conftest import Submit
from tests.worker.test_cores import WORKER
from worker import database, leases, release
from worker.backend import Backend
from worker.errors import OtherVersion
from worker.live import PREFIX
from worker.records import JobState, Progress, as_known
from worker.slices import SliceRunner


def test_what_a_newer_process_adds_is_left_out(backend: Backend) -> None:
    told = asdict(WORKER) | {"mood": "good"}
    backend.live.report_worker(WORKER)
    backend.live._redis.set(f"{PREFIX}worker:{WORKER.name}", json.dumps(told))
    assert backend.live.workers() == [WORKER]
    assert as_known(Progress, asdict(Progress()) | {"x": 1}) == Progress()


def test_workers_are_told_apart_by_version_and_by_tables() -> None:
    same = replace(WORKER, version=release.VERSION, tables=release.TABLES)
    newer = replace(same, name="newer", tables="9999")
    older = replace(same, name="older", version="0.0.1", tables="")
    assert release.others([same, newer, older]) == [
        f"newer: {release.VERSION}, tables 9999",
        "older: 0.0.1, tables unknown",
    ]


def add_a_setting(backend: Backend, identifier: str) -> None:
    """As if a newer web server had accepted the job."""
    table = database.jobs
    with backend.database.writing() as connection:
        config = connection.scalar(sa.select(table.c.config).where(table.c.id == identifier))
        config = config | {"training": config["training"] | {"momentum_of_tomorrow": 0.5}}
        connection.execute(sa.update(table).where(table.c.id == identifier).values(config=config))


def test_a_job_of_a_newer_version_waits_for_a_worker_that_knows_it(
    backend: Backend, submit: Submit
) -> None:
    job = submit()
    add_a_setting(backend, job.id)
    claim = leases.claim(backend, "train", "holder")
    assert claim is not None
    with pytest.raises(OtherVersion, match="a newer worker will") as refused:
        SliceRunner(backend, "worker").run(claim)
    waiting = leases.postpone(backend, claim, refused.value)
    assert waiting is not None
    assert waiting.state is JobState.QUEUED
    assert waiting.attempts == 0


def test_a_checkpoint_of_a_newer_version_is_neither_damaged_nor_poison(
    backend: Backend, submit: Submit, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    backend.settings.__dict__["slice_seconds"] = 0.001
    submit()
    claim = leases.claim(backend, "train", "holder")
    assert claim is not None
    assert SliceRunner(backend, "worker").run(claim).state is JobState.RUNNING
    monkeypatch.setattr("lstmcore.checkpoint.FORMAT_VERSION", 0)  # what an older worker reads
    claim = leases.claim(backend, "train", "holder")
    assert claim is not None
    with pytest.raises(OtherVersion, match="newer version"):
        SliceRunner(backend, "older").run(claim)
