"""What is another owner's is not there.

Every route is tried, so that a new one without isolation fails.
"""

from collections.abc import Iterator
from typing import Any

import pytest
import sqlalchemy as sa
from flask import Flask
from flask.testing import FlaskClient
from werkzeug.routing import Rule

from tests.web.answers import TUTORIAL, import_model, problem_of
from web import create_app
from web.auth import OPEN_ENDPOINTS, SIGN_IN_ENDPOINTS
from web.roles import needed_role
from worker import database, keys
from worker.backend import Backend
from worker.records import WorkerInfo
from worker.settings import Settings

SECRET = "alices-secret"
OWNER = "alice-of-wonderland"
# Bodies that would be accepted if the record were one's own.
BODIES: dict[str, Any] = {
    "api.models.rename": {"name": "stolen"},
    "api.predict.predict_now": {"prompt": "a"},
    "api.insights.next_scores": {"prompt": "a"},
    "api.insights.score": {"text": "a"},
    "api.insights.explain": {"text": "a"},
    "api.insights.neurons": {"text": "a"},
    "api.insights.saliency": {"prompt": "a"},
}
QUERIES: dict[str, dict[str, str]] = {"api.insights.nearest": {"token": "a"}}


@pytest.fixture
def locked(settings: Settings, backend: Backend) -> Iterator[Flask]:
    keys.create(backend, owner="root", role="admin")
    built = create_app(settings)
    yield built
    built.extensions["lstmq"].close()


def headers(backend: Backend, owner: str, role: str = "member") -> dict[str, str]:
    return {"Authorization": f"Bearer {keys.create(backend, owner=owner, role=role)[1]}"}


@pytest.fixture
def belongings(
    locked: Flask, backend: Backend, model_files: dict[str, bytes]
) -> dict[tuple[str, str], str]:
    """Alice's records, by what stands before an id in an address and the name of the argument."""
    client, alice = locked.test_client(), headers(backend, OWNER)
    body = {"name": f"{SECRET} text", "text": TUTORIAL}
    dataset = client.post("/api/v1/datasets", json=body, headers=alice).json["id"]
    train = {"kind": "train", "dataset": dataset, "name": f"{SECRET} job"}
    job = client.post("/api/v1/jobs", json=train, headers=alice).json["id"]
    searched = {"dataset": dataset, "name": f"{SECRET} sweep", "config": {"preset": "tutorial"}}
    space = {"space": {"training.learning_rate": [0.01, 0.02]}}
    sweep = client.post("/api/v1/sweeps", json=searched | space, headers=alice).json["id"]
    address = {"url": f"https://example.com/{SECRET.replace(' ', '-')}"}
    webhook = client.post("/api/v1/webhooks", json=address, headers=alice).json["id"]
    model = import_model(backend, OWNER, f"{SECRET} model", model_files).id
    worker = WorkerInfo("train@host", "train", "host", 1, 0.0, 0.0, None, 1, "0")
    backend.live.report_worker(worker)
    backend.live.report_current("train@host", job)
    for resource in ("datasets", "jobs", "models"):
        assert SECRET in client.get(f"/api/v1/{resource}", headers=alice).text
    assert job in client.get("/api/v1/workers", headers=alice).text
    return {
        ("/api/v1/datasets", "identifier"): dataset,
        ("/api/v1/jobs", "identifier"): job,
        ("/api/v1/models", "reference"): model,
        ("/api/v1/sweeps", "identifier"): sweep,
        ("/api/v1/webhooks", "identifier"): webhook,
        ("/sweeps", "identifier"): sweep,
        ("/jobs", "identifier"): job,
        ("/models", "reference"): model,
        ("/v1/files", "identifier"): dataset.replace("data-", "file-"),
        ("/v1/fine_tuning/jobs", "identifier"): job.replace("job-", "ftjob-"),
        ("/v1/models", "reference"): model,
    }


def all_rules(app: Flask, *, with_arguments: bool) -> list[tuple[Rule, str]]:
    skipped = OPEN_ENDPOINTS | SIGN_IN_ENDPOINTS | {"pages.sample_file"}
    return [
        (rule, method)
        for rule in app.url_map.iter_rules()
        if rule.endpoint not in skipped and bool(rule.arguments) == with_arguments
        for method in (rule.methods or set()) - {"HEAD", "OPTIONS"}
    ]


def test_every_route_answers_404_for_what_is_another_owners(
    locked: Flask, backend: Backend, belongings: dict[tuple[str, str], str]
) -> None:
    """A route this does not know fails here: say in `belongings` whose record it takes."""
    bob = headers(backend, "bob")
    client = locked.test_client()
    token = form_token(client, bob)
    tried = 0
    for rule, method in all_rules(locked, with_arguments=True):
        if needed_role(locked, rule.endpoint, method) == "admin":
            continue
        values: dict[str, Any] = {}
        for name in rule.arguments - {"move"}:
            place = (rule.rule.partition("/<")[0], name)
            assert place in belongings, rule
            values[name] = belongings[place]
        for move in ("cancel", "pause", "resume") if "move" in rule.arguments else ("",):
            given = values | ({"move": move} if move else {})
            path = locked.url_map.bind("localhost").build(rule.endpoint, given, method=method)
            is_page = rule.endpoint.startswith("pages.")
            body: dict[str, Any] = (
                {"data": {"csrf_token": token, "name": "stolen"}}
                if is_page
                else {"json": BODIES.get(rule.endpoint)}
            )
            for accept in ("*/*", "text/event-stream"):
                sent = bob | {"Accept": accept}
                asked = QUERIES.get(rule.endpoint)
                response = client.open(
                    path, method=method, headers=sent, query_string=asked, **body
                )
                assert response.status_code == 404, (rule, method, response.text)
                assert SECRET not in response.text
                tried += 1
    assert tried > 60


def test_no_list_tells_of_what_is_another_owners(
    locked: Flask, backend: Backend, belongings: dict[tuple[str, str], str]
) -> None:
    """Lists, pages, workers, figures: neither an id nor a name nor the owner."""
    told = {SECRET, OWNER, *belongings.values()}
    client = locked.test_client()
    for owner, role in (("bob", "member"), ("watcher", "viewer"), ("boss", "admin")):
        bob = headers(backend, owner, role)
        for rule, method in all_rules(locked, with_arguments=False):
            if method != "GET":
                continue
            if needed_role(locked, rule.endpoint, method) == "admin":
                # The keys and the audit log are the two places where admins learn of others.
                assert rule.endpoint in ("api.keys.list_all", "api.audit.list_all")
                continue
            response = client.get(rule.rule, headers=bob)
            assert response.status_code in (200, 204, 303), rule
            assert [word for word in told if word in response.text] == [], rule


def test_bodies_and_cursors_reach_nothing_of_others(
    locked: Flask, backend: Backend, belongings: dict[tuple[str, str], str]
) -> None:
    bob, client = headers(backend, "bob"), locked.test_client()
    text, model = belongings["/api/v1/datasets", "identifier"], belongings["/models", "reference"]
    own = client.post("/api/v1/datasets", json={"text": TUTORIAL}, headers=bob).json["id"]
    for body in (
        {"kind": "train", "dataset": text},
        {"kind": "train", "dataset": own, "config": {"init_from": model}},
        {"kind": "predict", "model": model, "prompt": "a"},
        {"kind": "predict", "model": f"{SECRET} model", "prompt": "a"},
    ):
        problem_of(client.post("/api/v1/jobs", json=body, headers=bob), 404)
    problem_of(client.get(f"/api/v1/models/{SECRET} model", headers=bob), 404)
    file = belongings["/v1/files", "identifier"]
    job = belongings["/v1/fine_tuning/jobs", "identifier"]
    best = f"ft:lstm-tutorial:alice:x:{job.removeprefix('ftjob-')}:ckpt-step-1"
    for path, sent, status in (
        ("fine_tuning/jobs", {"model": "lstm-char", "training_file": file}, 400),
        ("fine_tuning/jobs", {"model": model, "training_file": own}, 404),
        ("completions", {"model": model, "prompt": "a"}, 404),
        ("completions", {"model": best, "prompt": "a"}, 404),
        ("chat/completions", {"model": job, "messages": [{"role": "user", "content": "a"}]}, 404),
    ):
        answer = client.post(f"/v1/{path}", json=sent, headers=bob)
        assert answer.status_code == status, answer.text
        assert answer.json["error"]["code"] in ("not_found", "model_not_found")
    sweep = {"dataset": text, "space": {"training.epochs": [1, 2]}}
    problem_of(client.post("/api/v1/sweeps", json=sweep, headers=bob), 404)
    # pages that take ids of jobs in a query or a form
    job = belongings["/jobs", "identifier"]
    assert client.get(f"/jobs/stream?job={job}", headers=bob).status_code == 204
    compared = client.get(f"/compare?job={job}", headers=bob)
    assert SECRET not in compared.text
    chosen = {"csrf_token": form_token(client, bob), "job": job, "action": "cancel"}
    assert client.post("/jobs/selected", data=chosen, headers=bob).status_code == 303
    with backend.database.reading() as connection:
        states = set(connection.scalars(sa.select(database.jobs.c.state)))
    assert states == {"queued"}
    for (place, _), identifier in belongings.items():
        answer = client.get(f"{place}?after={identifier}", headers=bob)
        if place == "/v1/models":  # these clients know no pages there
            assert SECRET not in answer.text
        else:
            assert answer.status_code in (400, 422), place


def test_one_idempotency_key_means_each_owner_their_own(locked: Flask, backend: Backend) -> None:
    client, made = locked.test_client(), set()
    for owner in (OWNER, "bob"):
        sent = headers(backend, owner) | {"Idempotency-Key": "the-same"}
        body = {"kind": "train", "text": TUTORIAL}
        response = client.post("/api/v1/jobs", json=body, headers=sent)
        assert response.json["owner"] == owner
        made.add(response.json["id"])
    assert len(made) == 2


def form_token(client: FlaskClient, sent: dict[str, str]) -> str:
    page = client.get("/", headers=sent)
    _, _, rest = page.text.partition('name="csrf_token" value="')
    return rest.partition('"')[0]
