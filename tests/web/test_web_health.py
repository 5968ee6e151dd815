"""Health: alive means this process, ready means every part; and the web process stays small."""

import os
import subprocess
import sys

from flask.testing import FlaskClient

from tests.processes import eventually
from tests.web.answers import problem_of
from worker.backend import Backend
from worker.records import WorkerInfo
from worker.settings import Settings


def worker(name: str, queue: str) -> WorkerInfo:
    return WorkerInfo(
        name=name,
        queue=queue,  # type: ignore[arg-type]
        host="host",
        pid=1,
        started_at=0.0,
        seen_at=0.0,
        job=None,
        threads=1,
        version="1",
    )


def test_alive(client: FlaskClient) -> None:
    assert client.get("/healthz").json == {"status": "alive"}


def test_ready_once_every_part_answers(client: FlaskClient, backend: Backend) -> None:
    response = client.get("/readyz")
    problem = problem_of(response, 503)
    assert {part for part, reason in problem["checks"].items() if reason} == {
        "train_worker",
        "predict_worker",
    }
    assert response.headers["Retry-After"]
    backend.live.report_worker(worker("one", "train"))
    backend.live.report_worker(worker("two", "predict"))
    ready = client.get("/readyz")
    assert (ready.status_code, ready.json["status"]) == (200, "ready")
    assert set(ready.json["checks"]) == {
        "redis",
        "database",
        "store",
        "train_worker",
        "predict_worker",
    }


def test_workers_are_listed_and_name_a_job_only_to_its_owner(
    client: FlaskClient, backend: Backend, job: dict[str, str]
) -> None:
    assert client.get("/api/v1/workers").json == {"data": [], "has_more": False, "next": None}
    for name, current in (("one", None), ("two", job["id"]), ("three", "job-of-another")):
        backend.live.report_worker(worker(name, "train"))
        backend.live.report_current(name, current)
    found = {item["name"]: item for item in client.get("/api/v1/workers").json["data"]}
    assert {name: item["busy"] for name, item in found.items()} == {
        "one": False,
        "two": True,
        "three": True,
    }
    assert {name: item["job"] for name, item in found.items()} == {
        "one": None,
        "two": job["id"],
        "three": None,
    }
    eventually(lambda: client.get(f"/api/v1/jobs/{job['id']}").json["workers_online"] == len(found))


SCRIPT = """
import io, sys, zipfile
from web import create_app
from worker.settings import Settings

app = create_app(Settings())
client = app.test_client()
text = client.post("/api/v1/datasets", json={"text": "what is this : a test\\n" * 9}).json["id"]
assert client.get(f"/api/v1/datasets/{text}/preview").status_code == 200
job = client.post("/api/v1/jobs", json={"kind": "train", "dataset": text})
assert job.status_code == 202, job.text
for path in ("/", "/jobs", f"/jobs/{job.json['id']}", "/models", "/workers", "/readyz"):
    client.get(path)
zipped = io.BytesIO()
with zipfile.ZipFile(zipped, "w") as archive:
    for name in ("model.safetensors", "config.json", "tokenizer.json", "README.md"):
        archive.writestr(name, "{}")
zipped.seek(0)
refused = client.post("/api/v1/models", data={"file": (zipped, "a.zip")})
assert refused.status_code == 422, refused.text
assert "torch" not in sys.modules
print("small")
"""


def test_the_web_never_loads_torch(settings: Settings) -> None:
    environment = os.environ | {
        "LSTMQ_DATA_DIR": str(settings.data_dir),
        "LSTMQ_REDIS_URL": settings.redis_url,
    }
    done = subprocess.run(
        [sys.executable, "-c", SCRIPT],
        env=environment,
        capture_output=True,
        text=True,
        timeout=60,
        check=False,
    )
    assert done.stdout == "small\n", done.stderr
