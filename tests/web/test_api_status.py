"""`/status` and `lstmq status`: what is missing is said, and nobody is named."""

from dataclasses import replace
from typing import Any

from flask.testing import FlaskClient

from web.commands.status import lines
from worker.backend import Backend
from worker.records import WorkerInfo

WORKER = WorkerInfo(
    name="train-1@here",
    queue="train",
    host="here",
    pid=1,
    started_at=0.0,
    seen_at=0.0,
    job=None,
    threads=1,
    version="0.0.1",
)


def test_what_waits_and_who_is_missing(client: FlaskClient, job: dict[str, Any]) -> None:
    found = client.get("/api/v1/status").json
    assert found["ready"] is False
    assert found["parts"]["redis"] is None
    assert "no training worker" in found["parts"]["train_worker"]
    [train] = [queue for queue in found["queues"] if queue["kind"] == "train"]
    assert train["waiting"] == 1
    assert train["messages"] in {0, 1}  # it is sent by a thread of its own
    assert job["id"] not in str(found)
    told = "\n".join(lines(found))
    assert "is NOT ready" in told
    assert "1 trainings wait, the first for" in told


def test_a_worker_of_another_version_is_named(client: FlaskClient, backend: Backend) -> None:
    backend.live.report_worker(WORKER)
    backend.live.report_worker(replace(WORKER, name="predict-1@here", queue="predict"))
    found = client.get("/api/v1/status").json
    assert found["ready"] is True
    assert [hands["online"] for hands in found["workers"]] == [1, 1]
    assert found["other_versions"] == [
        "predict-1@here: 0.0.1, tables unknown",
        "train-1@here: 0.0.1, tables unknown",
    ]
    assert client.get("/readyz").json["other_versions"] == found["other_versions"]
    assert "of another version, restart them" in "\n".join(lines(found))
    assert "Some workers run another version" in client.get("/workers").text
