"""Keys: nothing is reached without one, and nobody reaches what is another's."""

import io
from collections.abc import Iterator
from typing import Any

import pytest
from flask import Flask
from flask.testing import FlaskClient

from tests.web.answers import TUTORIAL, problem_of
from web import create_app
from web.auth import OPEN_ENDPOINTS
from worker import models
from worker.backend import Backend
from worker.settings import Settings

ALICE = {"Authorization": "Bearer alice-key"}
BOB = {"Authorization": "Bearer böb-key".encode().decode("latin-1")}


@pytest.fixture
def keyed(settings: Settings) -> Iterator[Flask]:
    keys = {"alice": "alice-key", "bob": "böb-key"}
    built = create_app(settings.model_copy(update={"api_keys": keys}))
    yield built
    built.extensions["lstmq"].close()


def test_every_route_and_method_needs_a_key(keyed: Flask) -> None:
    client = keyed.test_client()
    asked = 0
    for rule in keyed.url_map.iter_rules():
        if rule.endpoint in OPEN_ENDPOINTS:
            continue
        values = {name: "cancel" if name == "move" else "x" for name in rule.arguments}
        adapter = keyed.url_map.bind("localhost")
        for method in rule.methods or ():
            path = adapter.build(rule.endpoint, values, method=method)
            response = client.open(path, method=method)
            assert response.status_code == 401, (rule, method)
            assert response.headers["WWW-Authenticate"]
            asked += 1
    assert asked > 20
    problem_of(client.get("/api/v1/nothing"), 401)


@pytest.mark.parametrize(
    "given",
    [
        "",
        "Bearer",
        "Bearer ",
        "Bearer wrong",
        "Bearer alice",
        "Bearer alice-key2",
        "Bearer Alice-key",
        "alice-key",
        "Token alice-key",
        "Digest username=alice",
        "Basic !!!",
        "Basic YWxpY2U6d3Jvbmc=",  # alice:wrong
        "Basic Ym9iOmFsaWNlLWtleQ==",  # bob:alice-key
        "Bearer \xff\xfe",
    ],
)
def test_a_wrong_key_is_401_and_asks_for_a_bearer_key(keyed: Flask, given: str) -> None:
    response = keyed.test_client().get("/api/v1/jobs", headers={"Authorization": given})
    problem_of(response, 401)
    assert response.headers["WWW-Authenticate"].startswith("Bearer")


def test_pages_ask_the_browser_for_a_password(keyed: Flask) -> None:
    client = keyed.test_client()
    asked = client.get("/jobs")
    assert asked.status_code == 401
    assert asked.headers["WWW-Authenticate"].startswith("Basic")
    assert client.get("/api/v1/jobs", auth=("alice", "alice-key")).status_code == 200
    assert client.get("/api/v1/jobs", auth=("bob", "böb-key")).status_code == 200
    assert client.get("/api/v1/jobs", headers=BOB).status_code == 200


def test_health_is_open(keyed: Flask) -> None:
    client = keyed.test_client()
    assert client.get("/healthz").status_code == 200
    assert client.get("/readyz").status_code == 503


def test_what_is_another_owners_is_not_there(
    keyed: Flask, backend: Backend, model_files: dict[str, bytes]
) -> None:
    client = keyed.test_client()
    text = client.post("/api/v1/datasets", json={"text": TUTORIAL}, headers=ALICE).json["id"]
    train = {"kind": "train", "dataset": text}
    job = client.post("/api/v1/jobs", json=train, headers=ALICE).json["id"]
    model = models.import_folder(backend, "alice", "mine", model_files).id
    for resource in ("datasets", "jobs", "models"):
        assert len(client.get(f"/api/v1/{resource}", headers=ALICE).json["data"]) == 1
        assert client.get(f"/api/v1/{resource}", headers=BOB).json["data"] == []
    requests: list[tuple[str, str, Any]] = [
        ("GET", f"datasets/{text}", None),
        ("GET", f"datasets/{text}/preview", None),
        ("DELETE", f"datasets/{text}", None),
        ("GET", f"jobs/{job}", None),
        ("GET", f"jobs/{job}/events", None),
        ("DELETE", f"jobs/{job}", None),
        ("POST", f"jobs/{job}/cancel", None),
        ("POST", f"jobs/{job}/pause", None),
        ("POST", f"jobs/{job}/resume", None),
        ("POST", "jobs", train),
        ("POST", "jobs", {"kind": "predict", "model": model, "prompt": "a"}),
        ("GET", f"models/{model}", None),
        ("GET", "models/mine", None),
        ("GET", f"models/{model}/download", None),
        ("PATCH", f"models/{model}", {"name": "stolen"}),
        ("DELETE", f"models/{model}", None),
        ("POST", f"models/{model}/predict", {"prompt": "a"}),
    ]
    for method, path, body in requests:
        problem_of(client.open(f"/api/v1/{path}", method=method, json=body, headers=BOB), 404)
    for resource, identifier in (("jobs", job), ("datasets", text)):
        cursor = f"/api/v1/{resource}?after={identifier}"
        problem_of(client.get(cursor, headers=BOB), 422)
    assert client.get(f"/api/v1/jobs/{job}", headers=ALICE).json["state"] == "queued"


def test_an_unauthenticated_upload_stores_nothing(keyed: Flask) -> None:
    client = keyed.test_client()
    file = (io.BytesIO(b"a b c"), "a.txt")
    problem_of(client.post("/api/v1/datasets", data={"file": file}), 401)
    assert client.get("/api/v1/datasets", headers=ALICE).json["data"] == []


def test_without_keys_everything_is_local(client: FlaskClient) -> None:
    given = client.post("/api/v1/datasets", json={"text": TUTORIAL}, headers=ALICE)
    assert given.json["owner"] == "local"
