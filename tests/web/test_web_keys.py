"""Keys over HTTP: roles, revocation, and the audit log that tells of it all."""

import time
from collections.abc import Iterator
from typing import Any

import pytest
import sqlalchemy as sa
from flask import Flask
from flask.testing import FlaskClient

from tests.web.answers import TUTORIAL, problem_of
from web import create_app, identity
from web.roles import allows, needed_role
from worker import audit, jobs, keys
from worker.backend import Backend
from worker.keys import ROLES, Role
from worker.settings import Settings

URL = "/api/v1/keys"


@pytest.fixture(autouse=True)
def believed_for_a_blink(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(identity, "BELIEVED_SECONDS", 0.05)


@pytest.fixture
def admin(backend: Backend) -> dict[str, str]:
    return bearer(keys.create(backend, owner="root", role="admin")[1])


@pytest.fixture
def client(admin: dict[str, str], settings: Settings) -> Iterator[FlaskClient]:
    app = create_app(settings)
    yield app.test_client()
    app.extensions["lstmq"].close()


def bearer(token: str) -> dict[str, str]:
    return {"Authorization": f"Bearer {token}"}


def make(client: FlaskClient, admin: dict[str, str], **body: Any) -> dict[str, Any]:
    response = client.post(URL, json={"owner": "ann"} | body, headers=admin)
    assert response.status_code == 201, response.text
    made: dict[str, Any] = response.json
    return made


def test_a_key_works_from_its_making_to_its_end(client: FlaskClient, admin: dict[str, str]) -> None:
    made = make(client, admin, name="laptop", days=30)
    key = bearer(made.pop("key"))
    assert client.get("/api/v1/jobs", headers=key).status_code == 200
    shown = client.get(f"{URL}/{made['id']}", headers=admin).json
    assert shown.pop("last_used_at")
    assert shown == {name: made[name] for name in shown}
    ended = client.delete(f"{URL}/{made['id']}", headers=admin)
    assert ended.json["usable"] is False
    time.sleep(2 * identity.BELIEVED_SECONDS)
    problem_of(client.get("/api/v1/jobs", headers=key), 401)
    listed = client.get(URL, query_string={"owner": "ann"}, headers=admin).json["data"]
    assert [key["id"] for key in listed] == [made["id"]]
    problem_of(client.delete(f"{URL}/key-nothing", headers=admin), 404)


def test_what_cannot_be_a_key_is_422(client: FlaskClient, admin: dict[str, str]) -> None:
    for body in ({}, {"owner": ""}, {"owner": "a", "role": "king"}, {"owner": "a", "days": 0}):
        problem_of(client.post(URL, json=body, headers=admin), 422)


def test_the_first_key_is_an_admins(app: Flask) -> None:
    """Nobody locks themselves out of making the next."""
    client = app.test_client()
    refused = problem_of(client.post(URL, json={"owner": "ann"}), 422)
    assert refused["errors"][0]["loc"] == ["role"]
    assert client.get(URL).json["data"] == []
    root = make(client, {}, role="admin")
    make(client, bearer(root["key"]))


def test_every_route_is_closed_to_roles_that_may_do_less(
    client: FlaskClient, admin: dict[str, str]
) -> None:
    """403 for what needs more, anything else for what is allowed."""
    for role in ROLES:
        key = bearer(make(client, admin, role=role)["key"])
        seen = set(every_route(client.application, key, role))
        assert len(seen) > 2


def every_route(app: Flask, key: dict[str, str], role: Role) -> Iterator[tuple[Role, bool]]:
    client = app.test_client()
    for rule in app.url_map.iter_rules():
        if rule.endpoint == "static" or rule.endpoint.startswith("pages."):
            continue
        values = dict.fromkeys(rule.arguments, "x")
        for method in (rule.methods or set()) - {"OPTIONS"}:
            path = app.url_map.bind("localhost").build(rule.endpoint, values, method=method)
            status = client.open(path, method=method, headers=key).status_code
            needed = needed_role(app, rule.endpoint, method)
            assert (status == 403) == (not allows(role, needed)), (rule, method, status)
            yield needed, status == 403


def test_a_viewer_looks_and_asks_and_a_member_changes(
    client: FlaskClient, admin: dict[str, str]
) -> None:
    viewer = bearer(make(client, admin, role="viewer")["key"])
    member = bearer(make(client, admin)["key"])
    problem = problem_of(
        client.post("/api/v1/datasets", json={"text": TUTORIAL}, headers=viewer), 403
    )
    assert "member" in problem["detail"]
    made = client.post("/api/v1/datasets", json={"text": TUTORIAL}, headers=member)
    assert client.get(made.headers["Location"], headers=viewer).status_code == 200
    asked = client.post("/api/v1/models/none/predict", json={"prompt": "a"}, headers=viewer)
    problem_of(asked, 404)  # it may ask; there is no such model
    assert client.get("/jobs", headers=viewer).status_code == 200
    assert client.post("/jobs/x/cancel", headers=viewer).status_code == 403


def test_the_audit_log_says_who_did_what(
    client: FlaskClient, backend: Backend, admin: dict[str, str]
) -> None:
    made = make(client, admin)
    member = bearer(made["key"]) | {"X-Request-Id": "from-the-proxy.1"}
    posted = client.post("/api/v1/datasets", json={"text": TUTORIAL}, headers=member)
    assert posted.headers["X-Request-Id"] == "from-the-proxy.1"
    client.get("/api/v1/datasets", headers=member)  # looking is not noted
    client.post("/api/v1/datasets", json={"text": " "}, headers=member)  # nor what was refused
    client.get("/api/v1/audit", headers=member)  # but this is
    client.get("/api/v1/jobs", headers=bearer("lm_wrong"))
    client.get("/api/v1/jobs")
    entries = client.get("/api/v1/audit", headers=admin).json["data"]
    told = {(entry["owner"], entry["action"], entry["status"]) for entry in entries}
    assert told == {
        ("root", "api.keys.create", 201),
        ("ann", "api.datasets.create", 201),
        ("ann", "api.audit.list_all", 403),
        ("", "api.jobs.list_all", 401),
    }
    (entry,) = client.get(
        "/api/v1/audit", query_string={"action": "api.datasets.create"}, headers=admin
    ).json["data"]
    assert entry["target"] == posted.json["id"]
    assert entry["key"] == made["id"]
    assert entry["address"] == "127.0.0.1"
    assert entry["request"] == "from-the-proxy.1"
    assert made["key"] not in str(audit.list_page(backend).data)


def test_a_job_and_its_entry_in_the_log_are_one_transaction(
    client: FlaskClient, backend: Backend, admin: dict[str, str]
) -> None:
    member = bearer(make(client, admin)["key"])
    body = {"kind": "train", "text": TUTORIAL, "config": {"preset": "tutorial"}}
    sent = member | {"Idempotency-Key": "once"}
    first = client.post("/api/v1/jobs", json=body, headers=sent)
    again = client.post("/api/v1/jobs", json=body, headers=sent)
    assert first.json["id"] == again.json["id"]
    form = {"dataset": first.json["dataset"], "config": {"preset": "no"}, "kind": "train"}
    problem_of(client.post("/api/v1/jobs", json=form, headers=member), 422)
    told = audit.list_page(backend, action="api.jobs.submit").data
    assert [(entry.target, entry.status) for entry in told] == [(first.json["id"], 202)] * 2
    # What cannot be noted is not done.
    with backend.database.writing() as connection:
        connection.execute(sa.text("alter table audit rename to away"))
    other = body | {"name": "another"}
    assert client.post("/api/v1/jobs", json=other, headers=member).status_code >= 500
    with backend.database.writing() as connection:
        connection.execute(sa.text("alter table away rename to audit"))
    assert [job.id for job in jobs.list_page(backend, "ann").data] == [first.json["id"]]


def test_an_odd_request_id_is_replaced(client: FlaskClient) -> None:
    for given in ("", "a" * 65, "a b", "a\tb", '"x"', "<x>", "ü", "-a"):
        sent = {"X-Request-Id": given.encode().decode("latin-1")}
        for path in ("/healthz", "/api/v1/jobs", "/nothing"):
            answered = client.get(path, headers=sent).headers.getlist("X-Request-Id")
            assert len(answered) == 1
            assert answered[0].startswith("req-")
