"""OpenAI's surface on the wire: what its clients rely on, and what trips servers that copy it."""

import io
import sys
import threading
from collections.abc import Iterator
from typing import Any
from urllib.parse import quote

import pytest
from flask import Flask
from flask.testing import FlaskClient
from werkzeug.test import TestResponse

from tests.processes import eventually
from tests.web.answers import TUTORIAL
from tests.worker.test_leases import more
from web import create_app
from web.places import Places
from worker import leases
from worker.backend import Backend
from worker.errors import QuotaExceeded, Unavailable
from worker.records import Model
from worker.settings import Settings

JOBS = "/v1/fine_tuning/jobs"
EMPTY_JSON = {"content_type": "application/json", "data": b""}
AGAIN = {"X-Stainless-Retry-Count": "1"}


def error_of(response: TestResponse, status: int) -> dict[str, Any]:
    """The error in an answer, whose shape is the same everywhere."""
    assert response.status_code == status, response.text
    assert response.mimetype == "application/json"
    assert response.headers["X-Request-Id"]
    body = response.json
    assert body.keys() == {"error"}
    error: dict[str, Any] = body["error"]
    assert error.keys() == {"message", "type", "param", "code"}
    assert error["message"]
    assert error["type"]
    assert error["code"]
    return error


def upload(client: FlaskClient, text: str = TUTORIAL, name: str = "a.txt") -> str:
    response = client.post(
        "/v1/files", data={"purpose": "fine-tune", "file": (io.BytesIO(text.encode()), name)}
    )
    assert response.status_code == 200, response.text
    identifier: str = response.json["id"]
    return identifier


@pytest.fixture
def file(client: FlaskClient) -> str:
    return upload(client)


def create(
    client: FlaskClient, file: str, headers: dict[str, str] | None = None, **body: Any
) -> Any:
    body = {"model": "lstm-tutorial", "training_file": file} | body
    response = client.post(JOBS, json=body, headers=headers)
    assert response.status_code == 200, response.text
    return response.json


def settings_of(client: FlaskClient, file: str, **body: Any) -> Any:
    return create(client, file, **{"model": "lstm-word"} | body)["lstm"]["config"]


# ---- errors ----


def test_whatever_is_refused_has_openais_shape(client: FlaskClient, app: Flask) -> None:
    @app.get("/v1/broken")
    def broken() -> None:
        raise RuntimeError("a secret")

    @app.get("/v1/limited")
    def limited() -> None:
        raise QuotaExceeded("too much", retry_after_seconds=7)

    @app.get("/v1/away")
    def away() -> None:
        raise Unavailable("not now", retry_after_seconds=3)

    app.config["PROPAGATE_EXCEPTIONS"] = False
    assert error_of(client.get("/v1/nothing"), 404)["code"] == "not_found"
    error_of(client.get("/v1"), 404)
    assert client.get("/v1/completions").headers["Allow"]
    error_of(client.get("/v1/completions"), 405)
    error = error_of(client.get("/v1/broken"), 500)
    assert (error["type"], "secret" in error["message"]) == ("server_error", False)
    response = client.get("/v1/limited")
    assert error_of(response, 429)["code"] == "rate_limit_exceeded"
    assert response.headers["Retry-After"] == "7"
    response = client.get("/v1/away")
    error_of(response, 503)
    assert response.headers["Retry-After"] == "3"
    error_of(client.get("/v1/models", headers={"Host": "evil.example"}), 421)
    error_of(client.post(JOBS, json={}, headers={"Origin": "https://evil.example"}), 403)
    error_of(client.post(JOBS, data=b"{", content_type="application/json"), 400)
    error_of(client.post(JOBS, data=b"{}", content_type="text/plain"), 400)
    error_of(client.post(JOBS, json=[]), 400)


def test_a_body_over_the_limit_is_413(settings: Settings) -> None:
    app = create_app(settings.model_copy(update={"max_body_bytes": 1000}))
    body = {"model": "a", "prompt": "word " * 1000}
    error_of(app.test_client().post("/v1/completions", json=body), 413)
    app.extensions["lstmq"].close()


@pytest.fixture
def guarded(settings: Settings) -> Iterator[FlaskClient]:
    app = create_app(settings.model_copy(update={"api_keys": {"ann": "right"}}))
    yield app.test_client()
    app.extensions["lstmq"].close()


def test_without_the_right_key_it_is_401(guarded: FlaskClient) -> None:
    for headers in ({}, {"Authorization": "Bearer wrong"}):
        response = guarded.get("/v1/models", headers=headers)
        assert error_of(response, 401)["code"] == "invalid_api_key"
        assert response.headers["WWW-Authenticate"].lower().startswith("bearer")
    allowed = {"Authorization": "Bearer right"}
    assert guarded.get("/v1/models", headers=allowed).status_code == 200
    error_of(guarded.get("/v1/nothing", headers=allowed), 404)


# ---- files ----


def test_files_come_and_go(client: FlaskClient) -> None:
    names = [upload(client, name=f"{number}.txt") for number in range(3)]
    listed = client.get("/v1/files").json
    assert (listed["object"], listed["has_more"]) == ("list", False)
    assert [file["id"] for file in listed["data"]] == names[::-1]
    assert (listed["first_id"], listed["last_id"]) == (names[2], names[0])
    assert client.get("/v1/files?order=asc&limit=2").json["data"][0]["id"] == names[0]
    after = client.get(f"/v1/files?order=asc&after={names[1]}").json
    assert [file["id"] for file in after["data"]] == [names[2]]
    last = client.get(f"/v1/files?after={names[0]}").json
    assert (last["data"], last["has_more"]) == ([], False)
    assert client.get("/v1/files?purpose=batch").json["data"] == []
    assert "capital" in client.get(f"/v1/files/{names[0]}/content").text
    deleted = client.delete(f"/v1/files/{names[0]}").json
    assert deleted == {"id": names[0], "object": "file", "deleted": True}
    error_of(client.get(f"/v1/files/{names[0]}"), 404)
    error_of(client.get(f"/v1/files?after={names[0]}"), 400)


@pytest.mark.parametrize(
    ("name", "text", "layout"),
    [
        ("a.jsonl", '{"prompt": "a", "completion": "b"}\n{"prompt": "c", "completion": "d"}', 2),
        ("a.jsonl", '{"text": "once upon a time"}\n', 1),
        (
            "a.jsonl",
            '{"messages": [{"role": "user", "content": "hi"}, '
            '{"role": "assistant", "content": "hello"}]}',
            1,
        ),
        ("a.txt", "once upon a time", 1),
    ],
)
def test_the_training_formats_are_read(
    client: FlaskClient, name: str, text: str, layout: int
) -> None:
    file = upload(client, text, name)
    response = client.get(f"/v1/files/{file}/content")
    assert len(response.text.strip().splitlines()) == layout
    assert response.content_length == client.get(f"/v1/files/{file}").json["bytes"]


def test_bad_files_are_refused(client: FlaskClient) -> None:
    def send(**fields: Any) -> TestResponse:
        return client.post("/v1/files", data=fields)

    def content(data: bytes) -> tuple[io.BytesIO, str]:
        return io.BytesIO(data), "a.jsonl"

    fine = content(b'{"text": "a b"}')
    assert error_of(send(purpose="batch", file=fine), 400)["param"] == "purpose"
    assert error_of(send(purpose="fine-tune", file="words"), 400)["param"] == "file"
    assert "line 1" in error_of(send(purpose="fine-tune", file=content(b"{")), 400)["message"]
    error_of(send(purpose="fine-tune", file=content(b" \n")), 400)
    expiring = {"expires_after[anchor]": "created_at", "expires_after[seconds]": "3600"}
    fine = content(b'{"text": "a b"}')
    error = error_of(send(purpose="fine-tune", file=fine, **expiring), 400)
    assert error["param"] == "expires_after"
    error_of(client.post("/v1/files", json={}), 400)


# ---- jobs ----


def test_a_job_tells_what_was_asked_and_chosen(client: FlaskClient, file: str) -> None:
    job = create(client, file, suffix="lesson", seed=3, metadata={"a": "b"})
    assert job["id"].startswith("ftjob-")
    assert (job["object"], job["status"], job["model"]) == (
        "fine_tuning.job",
        "queued",
        "lstm-tutorial",
    )
    assert (job["seed"], job["metadata"], job["training_file"]) == (3, {"a": "b"}, file)
    assert job["hyperparameters"]["n_epochs"] == 100
    assert isinstance(job["created_at"], int)
    assert (job["finished_at"], job["fine_tuned_model"], job["error"]) == (None, None, None)
    assert client.get(f"{JOBS}/{job['id']}").json == job


def test_hyperparameters_are_our_settings_under_other_names(client: FlaskClient, file: str) -> None:
    usual = settings_of(client, file)["training"]
    asked = {"n_epochs": 3, "batch_size": 2, "learning_rate_multiplier": 0.5}
    for body in (
        {"hyperparameters": asked},
        {"method": {"type": "supervised", "supervised": {"hyperparameters": asked}}},
    ):
        training = settings_of(client, file, **body)["training"]
        assert (training["epochs"], training["batch_size"]) == (3, 2)
        assert training["learning_rate"] == pytest.approx(usual["learning_rate"] / 2)
    auto = settings_of(client, file, hyperparameters=dict.fromkeys(asked, "auto"))
    assert auto["training"] == usual
    config = {"model": {"hidden_dim": 24}, "training": {"epochs": 9}}
    mine = settings_of(client, file, config=config, hyperparameters={"batch_size": 3})
    assert (mine["model"]["hidden_dim"], mine["training"]["epochs"]) == (24, 9)
    assert mine["training"]["batch_size"] == 3


INVALID_JOBS: list[tuple[dict[str, Any], str | None]] = [
    ({"model": "gpt-4o"}, "model"),
    ({"model": 3}, "model"),
    ({"training_file": "file-none"}, "training_file"),
    ({"validation_file": "file-none"}, "validation_file"),
    ({"integrations": [{"type": "wandb"}]}, "integrations"),
    ({"method": {"type": "dpo"}}, "method.type"),
    ({"hyperparameters": {"n_epochs": 0}}, "hyperparameters.n_epochs"),
    ({"hyperparameters": {"beta": 1}}, "hyperparameters.beta"),
    ({"seed": -1}, "seed"),
    ({"suffix": "x" * 65}, "suffix"),
    ({"metadata": {"a": 1}}, "metadata.a"),
    ({"metadata": {'a"': "b"}}, None),
    ({"surprise": 1}, "surprise"),
    ({"config": {"training": {"epochs": 0}}}, "config.training.epochs"),
    ({"config": {"training": 3}}, "config.training"),
    ({"config": {"preset": "word"}}, "model"),
    (
        {"config": {"training": {"epochs": 2}}, "hyperparameters": {"n_epochs": 3}},
        "config.training.epochs",
    ),
]


def test_an_invalid_parameter_is_400_and_named(client: FlaskClient, file: str) -> None:
    for body, param in INVALID_JOBS:
        sent = {"model": "lstm-tutorial", "training_file": file} | body
        status = 404 if body == {"model": "gpt-4o"} else 400
        error = error_of(client.post(JOBS, json=sent), status)
        assert param is None or error["param"].startswith(param), error


def test_a_model_of_ours_is_gone_on_from(client: FlaskClient, file: str, model: Model) -> None:
    error = error_of(client.post(JOBS, json={"model": model.id, "training_file": file}), 400)
    assert "tutorial" in error["message"]


def test_cancel_pause_and_resume_come_without_a_body(client: FlaskClient, file: str) -> None:
    job = create(client, file)["id"]
    for move, status in (("pause", "paused"), ("resume", "queued"), ("cancel", "cancelled")):
        response = client.post(f"{JOBS}/{job}/{move}", **EMPTY_JSON)
        assert (response.status_code, response.json["status"]) == (200, status)
    for move in ("pause", "resume", "cancel"):
        error = error_of(client.post(f"{JOBS}/{job}/{move}", **EMPTY_JSON), 400)
        assert "cancelled" in error["message"]
        error_of(client.post(f"{JOBS}/ftjob-none/{move}", **EMPTY_JSON), 404)


def test_a_cancel_is_answered_at_once_where_nobody_may_wait_any_more(
    client: FlaskClient, app: Flask, backend: Backend, file: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A worker that does not answer would keep the request for ever."""
    monkeypatch.setattr(sys.modules["web.openai.jobs"], "SETTLE_SECONDS", 10_000.0)
    job = create(client, file)["id"]
    assert leases.claim(backend, "train", "silent") is not None
    waiting: Places = app.extensions["lstmq.places"]
    while waiting.take("poll", "local", alone=True):
        pass
    response = client.post(f"{JOBS}/{job}/cancel", **EMPTY_JSON)
    assert (response.status_code, response.json["status"]) == (200, "running")


def test_a_cancel_is_answered_when_the_worker_has_stopped(
    client: FlaskClient, backend: Backend, file: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(sys.modules["web.openai.jobs"], "SETTLE_SECONDS", 60.0)
    job = create(client, file)["id"]
    claim = leases.claim(backend, "train", "worker")
    assert claim is not None

    def stop() -> None:
        eventually(lambda: leases.wanted(backend, claim) == "cancel")
        leases.publish(backend, claim, more())

    worker = threading.Thread(target=stop)
    worker.start()
    response = client.post(f"{JOBS}/{job}/cancel", **EMPTY_JSON)
    worker.join()
    assert (response.status_code, response.json["status"]) == (200, "cancelled")


def test_a_repeated_create_starts_one_job(client: FlaskClient, file: str) -> None:
    first = create(client, file, suffix="one")["id"]
    assert create(client, file, AGAIN, suffix="one")["id"] == first
    assert create(client, upload(client), AGAIN, suffix="one")["id"] == first  # the same text
    assert create(client, file, AGAIN, suffix="two")["id"] != first
    assert create(client, file, suffix="one")["id"] != first  # asked for, not repeated
    lost = create(client, file, AGAIN, suffix="three")["id"]  # whose first attempt got lost
    assert create(client, file, {"X-Stainless-Retry-Count": "2"}, suffix="three")["id"] == lost
    assert create(client, file, suffix="three")["id"] != lost
    key = {"Idempotency-Key": "k"}
    assert create(client, file, key)["id"] == create(client, file, key)["id"]


def test_the_first_attempt_may_come_after_its_repetition(backend: Backend, file: str) -> None:
    from worker import submissions  # noqa: PLC0415 - the only test that needs it
    from worker.repeats import Attempt  # noqa: PLC0415

    def submit(attempt: Attempt) -> str:
        return submissions.submit_train(
            backend,
            "local",
            name="late",
            dataset=file.replace("file-", "data-"),
            config={"preset": "tutorial"},
            attempt=attempt,
        ).id

    arrived = backend.database.time()
    repetition = submit(Attempt(backend.database.time(), repeated=True))
    assert submit(Attempt(arrived, repeated=False)) == repetition
    assert submit(Attempt(backend.database.time() + 1, repeated=False)) != repetition


def test_jobs_are_paged_until_nothing_is_left(client: FlaskClient, file: str) -> None:
    made = [create(client, file, suffix=f"{number}")["id"] for number in range(3)][::-1]
    page = client.get(f"{JOBS}?limit=2").json
    assert ([job["id"] for job in page["data"]], page["has_more"]) == (made[:2], True)
    page = client.get(f"{JOBS}?limit=2&after={page['last_id']}").json
    assert ([job["id"] for job in page["data"]], page["has_more"]) == (made[2:], False)
    page = client.get(f"{JOBS}?limit=2&after={page['last_id']}").json
    assert page == {
        "object": "list",
        "data": [],
        "has_more": False,
        "first_id": None,
        "last_id": None,
    }
    for query in ("limit=0", "limit=x", "after=ftjob-none", "surprise=1"):
        error_of(client.get(f"{JOBS}?{query}"), 400)


def test_jobs_are_found_by_metadata(client: FlaskClient, file: str) -> None:
    job = create(client, file, metadata={"course": "a b", "k": "v"})["id"]
    create(client, file)
    found = client.get(JOBS, query_string={"metadata[course]": "a b", "metadata[k]": "v"}).json
    assert [each["id"] for each in found["data"]] == [job]
    assert client.get(JOBS, query_string={"metadata[course]": "b"}).json["data"] == []
    assert client.get(JOBS, query_string={'metadata[a"]': "b"}).json["data"] == []


def test_events_come_newest_first(client: FlaskClient, file: str) -> None:
    job = create(client, file)["id"]
    client.post(f"{JOBS}/{job}/pause", **EMPTY_JSON)
    address = f"{JOBS}/{job}/events"
    page = client.get(f"{address}?limit=1").json
    assert page["has_more"]
    assert page["data"][0]["message"] == "The job is paused."
    assert page["data"][0]["object"] == "fine_tuning.job.event"
    page = client.get(f"{address}?limit=5&after={page['last_id']}").json
    assert page["data"][-1]["message"] == "The job is queued."
    assert client.get(f"{address}?after={page['last_id']}").json["data"] == []
    error_of(client.get(f"{address}?after=ftevent-x"), 400)
    assert client.get(f"{JOBS}/{job}/checkpoints").json["data"] == []


# ---- models ----


def test_a_model_is_found_by_its_names(client: FlaskClient, model: Model) -> None:
    listed = client.get("/v1/models").json["data"]
    assert [each["id"] for each in listed[:4]] == [
        f"lstm-{preset}" for preset in ("char", "word", "subword", "tutorial")
    ]
    name = f"ft:lstm-tutorial:local:lessons-first:{model.id.removeprefix('model-')}"
    assert listed[4]["id"] == name
    for reference in (name, model.id, model.name):
        raw = client.get(f"/v1/models/{reference}")
        escaped = client.get(f"/v1/models/{quote(reference, safe='')}")  # `/` as %2F
        assert raw.json == escaped.json == listed[4]
    assert client.get("/v1/models/lstm-char").json["owned_by"] == "lstmq"
    assert error_of(client.get("/v1/models/a/b"), 404)["code"] == "model_not_found"
    error_of(client.delete("/v1/models/lstm-char"), 400)
    deleted = client.delete(f"/v1/models/{quote(model.name, safe='')}").json
    assert deleted == {"id": name, "object": "model", "deleted": True}
    error_of(client.get(f"/v1/models/{name}"), 404)


# ---- completions that are refused before anybody is asked ----


INVALID_COMPLETIONS: list[tuple[dict[str, Any], str]] = [
    ({"model": "lstm-word"}, "model"),
    ({"temperature": 9}, "temperature"),
    ({"temperature": "hot"}, "temperature"),
    ({"max_tokens": -1}, "max_tokens"),
    ({"n": 0}, "n"),
    ({"n": 1000}, "n"),
    ({"logprobs": 6}, "logprobs"),
    ({"logprobs": 1, "echo": True}, "echo"),
    ({"stop": ["a"] * 5}, "stop"),
    ({"prompt": [1, 2, 3]}, "prompt"),
    ({"prompt": [[1, 2], [3]]}, "prompt"),
    ({"prompt": []}, "prompt"),
    ({"prompt": ["a"] * 65}, "prompts"),
    ({"best_of": 3}, "best_of"),
    ({"suffix": "the end"}, "suffix"),
    ({"presence_penalty": 0.5}, "presence_penalty"),
    ({"frequency_penalty": 0.5}, "frequency_penalty"),
    ({"logit_bias": {"50": -100}}, "logit_bias"),
    ({"stream_options": {"include_usage": True}}, "stream_options"),
    ({"surprise": 1}, "surprise"),
]


def test_an_invalid_completion_is_400_and_named(client: FlaskClient, model: Model) -> None:
    for body, param in INVALID_COMPLETIONS:
        sent = {"model": model.id, "prompt": "what is"} | body
        error = error_of(client.post("/v1/completions", json=sent), 400)
        assert error["param"].startswith(param), error


INVALID_CONVERSATIONS: list[tuple[dict[str, Any], str]] = [
    ({"messages": []}, "messages"),
    ({"messages": [{"role": "user", "content": [{"type": "image_url"}]}]}, "messages.0"),
    ({"messages": [{"role": "assistant", "content": "hi"}]}, "messages"),
    ({"messages": [{"role": "tool", "content": "hi"}]}, "messages.0.role"),
    ({"messages": [{"role": "user", "content": "hi"}], "tools": [{}]}, "tools"),
    ({"model": "lstm-word", "messages": [{"role": "user", "content": "hi"}]}, "model"),
]


def test_an_invalid_conversation_is_400_and_named(client: FlaskClient, model: Model) -> None:
    for body, param in INVALID_CONVERSATIONS:
        sent = {"model": model.id} | body
        error = error_of(client.post("/v1/chat/completions", json=sent), 400)
        assert error["param"].startswith(param), error
