"""Keys: nothing is reached without one, and nobody reaches what is another's."""

import io
from collections.abc import Iterator

import pytest
from flask import Flask
from flask.testing import FlaskClient

from tests.web.answers import TUTORIAL, problem_of
from web import create_app
from web.auth import OPEN_ENDPOINTS, SIGN_IN_ENDPOINTS
from web.roles import SAFE_METHODS
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
            asked += 1
            if rule.endpoint in SIGN_IN_ENDPOINTS:
                assert response.status_code in (200, 403), (rule, method)
            elif rule.endpoint.startswith("pages.") and method in SAFE_METHODS:
                assert response.status_code == 303, (rule, method)
                assert response.headers["Location"].startswith("/sign-in?next=/")
            else:
                assert response.status_code == 401, (rule, method)
                assert response.headers["WWW-Authenticate"]
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


def test_programs_may_send_owner_and_key_as_user_and_password(keyed: Flask) -> None:
    client = keyed.test_client()
    assert client.get("/api/v1/jobs", auth=("alice", "alice-key")).status_code == 200
    assert client.get("/api/v1/jobs", auth=("bob", "böb-key")).status_code == 200
    assert client.get("/api/v1/jobs", headers=BOB).status_code == 200


def test_health_is_open(keyed: Flask) -> None:
    client = keyed.test_client()
    assert client.get("/healthz").status_code == 200
    assert client.get("/readyz").status_code == 503


def test_an_unauthenticated_upload_stores_nothing(keyed: Flask) -> None:
    client = keyed.test_client()
    file = (io.BytesIO(b"a b c"), "a.txt")
    problem_of(client.post("/api/v1/datasets", data={"file": file}), 401)
    assert client.get("/api/v1/datasets", headers=ALICE).json["data"] == []


def test_without_keys_everything_is_local(client: FlaskClient) -> None:
    given = client.post("/api/v1/datasets", json={"text": TUTORIAL}, headers=ALICE)
    assert given.json["owner"] == "local"
