"""A request sent twice with one `Idempotency-Key` makes one thing, whatever it makes."""

import io
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from typing import Any

import pytest
import sqlalchemy as sa
from flask import Flask
from flask.testing import FlaskClient
from werkzeug.test import TestResponse

from tests.web.answers import TUTORIAL, refused_fields
from tests.web.test_api_models import zip_of
from worker import database, keys, quotas
from worker.backend import Backend
from worker.errors import QuotaExceeded

SWEEP = {"config": {"preset": "word"}, "space": {"model.hidden_dim": [4, 8]}, "text": TUTORIAL}
# Of each route that makes something: a body, and one that asks for another thing.
JSON: dict[str, tuple[dict[str, Any], dict[str, Any]]] = {
    "/api/v1/jobs": ({"kind": "train", "text": TUTORIAL}, {"kind": "train", "text": "a b c d e f"}),
    "/api/v1/datasets": ({"text": TUTORIAL}, {"text": TUTORIAL, "name": "another"}),
    "/api/v1/sweeps": (SWEEP, SWEEP | {"halving_factor": 2}),
    "/api/v1/webhooks": ({"url": "https://example.com/a"}, {"url": "https://example.com/b"}),
    "/api/v1/keys": ({"owner": "ann"}, {"owner": "bob"}),
}
FORMS = ("/api/v1/datasets", "/api/v1/models", "/v1/files")
ONCE = {"Idempotency-Key": "once"}
Send = Callable[[FlaskClient, int, dict[str, str]], TestResponse]


def of_json(path: str) -> Send:
    return lambda client, which, headers: client.post(path, json=JSON[path][which], headers=headers)


def of_form(path: str, files: dict[str, bytes]) -> Send:
    texts = (zip_of(files), zip_of(files)) if "models" in path else (b"a b c d", b"a b c d e")

    def send(client: FlaskClient, which: int, headers: dict[str, str]) -> TestResponse:
        fields = {"purpose": "fine-tune"} if path == "/v1/files" else {"name": f"name {which}"}
        data = fields | {"file": (io.BytesIO(texts[which]), "a.txt")}
        return client.post(path, data=data, headers=headers)

    return send


@pytest.fixture(params=[*JSON, *(f"{path} form" for path in FORMS)])
def send(request: pytest.FixtureRequest, model_files: dict[str, bytes]) -> Send:
    path, _, form = request.param.partition(" ")
    return of_form(path, model_files) if form else of_json(path)


def test_every_route_that_makes_something_has_it(app: Flask) -> None:
    makes = {
        rule.rule
        for rule in app.url_map.iter_rules()
        if "POST" in rule.methods
        and rule.rule.startswith(("/api/", "/v1/"))
        and "<" not in rule.rule
        and "Idempotency-Key" in app.view_functions[rule.endpoint].operation.headers
    }
    assert makes == {*JSON, *FORMS, "/v1/fine_tuning/jobs"}


def test_the_same_request_makes_one_thing(
    app: Flask, client: FlaskClient, backend: Backend, send: Send
) -> None:
    # Without a key the first one made would close the door to the requests after it.
    _, token = keys.create(backend, owner="root", role="admin")
    door = {"Authorization": f"Bearer {token}"}
    with ThreadPoolExecutor(3) as pool:  # also at the same moment
        answers = list(pool.map(lambda _: send(app.test_client(), 0, door | ONCE), range(3)))
    answers.append(send(client, 0, door | ONCE))
    assert {answer.status_code for answer in answers} <= {200, 201, 202}, answers[-1].text
    (first,) = {answer.json["id"] for answer in answers}
    # The same request without the key, or with another, is asked for: it makes another.
    for headers in (door, door | {"Idempotency-Key": "twice"}):
        assert send(client, 0, headers).json["id"] != first
    # Another request with the key is a mistake.
    refused = send(client, 1, door | ONCE)
    if refused.request.path.startswith("/v1/"):
        assert (refused.status_code, refused.json["error"]["param"]) == (400, "Idempotency-Key")
    else:
        assert refused_fields(refused) == [["Idempotency-Key"]]


def test_an_upload_sent_again_leaves_one_file(
    client: FlaskClient, backend: Backend, monkeypatch: pytest.MonkeyPatch
) -> None:
    send = of_form("/api/v1/datasets", {})
    first = send(client, 0, ONCE)

    def full(*_: object) -> None:
        raise QuotaExceeded("no room")

    monkeypatch.setattr(quotas, "check_stored", full)  # which the first one has filled
    assert send(client, 0, ONCE).json["id"] == first.json["id"]
    assert send(client, 0, {}).status_code == 429
    assert len(list(backend.store.written())) == 1


def test_a_key_is_shown_once_and_kept_nowhere(client: FlaskClient, backend: Backend) -> None:
    one, other = (keys.create(backend, owner=name, role="admin")[1] for name in ("root", "deputy"))
    send = of_json("/api/v1/keys")

    def asked(token: str) -> dict[str, Any]:
        made: dict[str, Any] = send(client, 0, ONCE | {"Authorization": f"Bearer {token}"}).json
        return made

    first, again, others = asked(one), asked(one), asked(other)
    assert (again["id"], again["key"]) == (first["id"], None)
    # Another admin's request is another request, whatever its key.
    assert others["id"] != first["id"]
    assert others["key"] != first["key"]
    door = {"Authorization": f"Bearer {first['key']}"}
    assert client.get("/api/v1/jobs", headers=door).status_code == 200
    with backend.database.reading() as connection:
        kept = str(connection.execute(sa.select(database.keys)).all())
    assert first["id"] in kept
    assert not any(made["key"].split("_", 2)[2] in kept for made in (first, others))


def test_a_secret_of_a_webhook_is_shown_once(client: FlaskClient) -> None:
    first, again = (of_json("/api/v1/webhooks")(client, 0, ONCE).json for _ in range(2))
    assert first["secret"]
    assert again["secret"] is None


def test_a_repeated_file_of_an_openai_client_is_one_file(client: FlaskClient) -> None:
    send = of_form("/v1/files", {})
    again = {"X-Stainless-Retry-Count": "1"}
    first = send(client, 0, {}).json["id"]
    assert send(client, 0, again).json["id"] == first
    assert send(client, 1, again).json["id"] != first
    assert send(client, 0, {}).json["id"] != first  # asked for, not repeated
