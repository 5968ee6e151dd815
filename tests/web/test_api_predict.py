"""Predictions that are waited for: answered, streamed, refused, or 503 when nobody answers.

The predictor's side is played by a thread that speaks the real protocol over the real Redis; real
predictors are in the integration tests.
"""

import json
import threading
import time
from collections.abc import Callable, Iterator
from typing import Any

import pytest
from flask.testing import FlaskClient

from tests.web.answers import events_of, problem_of, refused_fields
from web import create_app
from worker.backend import Backend
from worker.records import Model
from worker.settings import Settings

SOON = {"Prefer": "wait=1"}


@pytest.fixture
def address(model: Model) -> str:
    return f"/api/v1/models/{model.id}/predict"


def item(text: str) -> dict[str, Any]:
    return {"type": "result", "result": {"completions": [{"text": text}], "unknown_tokens": []}}


@pytest.fixture
def predictor(backend: Backend) -> Iterator[Callable[[list[dict[str, Any]]], None]]:
    """Answers the next request with these items."""
    threads = []

    def answer(items: list[dict[str, Any]]) -> None:
        deadline = time.monotonic() + 20
        while (ask := backend.asks.wait(0.5)) is None:
            assert time.monotonic() < deadline
        told = [
            (ask, one | {"index": number, "last": one is items[-1] and one["type"] != "token"})
            for number, one in enumerate(items)
        ]
        backend.asks.exchange("played", told, 0, [], listening=False)

    def start(items: list[dict[str, Any]]) -> None:
        threads.append(threading.Thread(target=answer, args=(items,)))
        threads[-1].start()

    yield start
    for thread in threads:
        thread.join()


def test_an_answer_is_the_result_itself(
    client: FlaskClient, address: str, predictor: Callable[..., None]
) -> None:
    predictor([item("india")])
    response = client.post(address, json={"prompt": "what is capital of"})
    assert (response.status_code, response.json) == (200, item("india")["result"])


def test_many_prompts_have_many_results(
    client: FlaskClient, address: str, predictor: Callable[..., None]
) -> None:
    predictor([item("india"), item("jay")])
    response = client.post(address, json={"prompts": ["what is capital of", "what is your name"]})
    assert response.json == {"results": [item("india")["result"], item("jay")["result"]]}


def test_a_stream_gives_tokens_then_the_result(
    client: FlaskClient, address: str, predictor: Callable[..., None]
) -> None:
    items = [{"type": "token", "text": "in"}, {"type": "token", "text": "dia"}, item("india")]
    predictor(items)
    response = client.post(address, json={"prompt": "what is capital of", "stream": True})
    assert (response.status_code, response.mimetype) == (200, "text/event-stream")
    told = [one | {"index": number} for number, one in enumerate(items)]
    assert events_of(response.text) == [(None, one) for one in told]


def test_a_stream_that_breaks_ends_with_a_problem(
    client: FlaskClient, address: str, predictor: Callable[..., None]
) -> None:
    predictor([{"type": "token", "text": "in"}])
    wait = {"Prefer": "wait=5"}  # for what comes after the first word
    response = client.post(address, json={"prompt": "what is", "stream": True}, headers=wait)
    *_, (_, last) = events_of(response.text)
    assert (last["type"], last["error"]["status"]) == ("error", 503)


@pytest.mark.parametrize("stream", [False, True])
def test_what_the_predictor_refuses_keeps_its_status(
    client: FlaskClient, address: str, predictor: Callable[..., None], stream: bool
) -> None:
    predictor([{"type": "error", "code": "PromptError", "message": "this prompt cannot be used"}])
    response = client.post(address, json={"prompt": "what is", "stream": stream})
    assert problem_of(response, 422)["detail"] == "this prompt cannot be used"


@pytest.mark.parametrize("stream", [False, True])
def test_no_predictor_is_503_with_a_time_to_ask_again(
    client: FlaskClient, address: str, stream: bool
) -> None:
    response = client.post(address, json={"prompt": "what is", "stream": stream}, headers=SOON)
    problem_of(response, 503)
    assert int(response.headers["Retry-After"]) > 0


def test_nobody_to_ask_about_a_model_is_503_too(client: FlaskClient, model: Model) -> None:
    address = f"/api/v1/models/{model.id}/explain"
    response = client.post(address, json={"text": "what is"}, headers=SOON)
    problem_of(response, 503)
    assert int(response.headers["Retry-After"]) > 0


@pytest.mark.parametrize("question", ["predict", "explain"])
def test_a_model_deleted_meanwhile_is_404(
    client: FlaskClient, model: Model, predictor: Callable[..., None], question: str
) -> None:
    predictor([{"type": "error", "code": "NotFound", "message": "there is no model m"}])
    body = {"text" if question == "explain" else "prompt": "what is"}
    problem_of(client.post(f"/api/v1/models/{model.id}/{question}", json=body), 404)


def test_without_redis_predictions_are_503_and_everything_else_works(
    settings: Settings, model: Model
) -> None:
    away = settings.model_copy(update={"redis_url": "unix:///nonexistent/valkey.sock"})
    app = create_app(away)
    client = app.test_client()
    response = client.post(f"/api/v1/models/{model.id}/predict", json={"prompt": "what is"})
    problem_of(response, 503)
    assert response.headers["Retry-After"]
    job = client.post("/api/v1/jobs", json={"kind": "train", "text": "a b c d e\n" * 20})
    assert job.status_code == 202
    assert job.json["workers_online"] is None
    assert client.get("/api/v1/jobs").json["data"][0]["id"] == job.json["id"]
    assert client.post(f"{job.headers['Location']}/cancel").json["state"] == "cancelled"
    problem_of(client.get("/api/v1/workers"), 503)
    app.extensions["lstmq"].close()


@pytest.mark.parametrize(
    ("body", "loc"),
    [
        ({}, ["prompt"]),
        ({"prompt": "a", "prompts": ["b"]}, ["prompt"]),
        ({"prompts": []}, ["prompt"]),
        ({"prompts": ["a", "b"], "stream": True}, ["prompts"]),
        ({"prompts": ["a"] * 1000}, ["prompts"]),
        ({"prompt": "a" * 200_000}, ["prompts", 0]),
        ({"prompt": 1}, ["prompt"]),
        ({"prompt": "a", "stream": "yes"}, ["stream"]),
        ({"prompt": "a", "model": "b"}, ["model"]),
        ({"prompt": "a", "sampling": {"max_tokens": 10**9}}, ["sampling", "max_tokens"]),
        ({"prompt": "a", "sampling": {"top_p": 1e999}}, ["sampling", "top_p"]),
        ({"prompt": "a", "sampling": None}, ["sampling"]),
    ],
)
def test_refused_values_are_named(
    client: FlaskClient, address: str, body: dict[str, Any], loc: list[Any]
) -> None:
    text = json.dumps(body).replace("Infinity", "1e999")
    found = refused_fields(client.post(address, data=text, content_type="application/json"))
    assert loc in found
