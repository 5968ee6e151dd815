"""The pages of sweeps: what the form takes and refuses, and the table of trials."""

import pytest
from flask.testing import FlaskClient
from werkzeug.test import TestResponse

from tests.web.html import hidden_fields
from worker import sweeps
from worker.backend import Backend
from worker.records import Sweep

FORM = {"preset": "tutorial", "name": "<b>rates</b>", "training.learning_rate": "0.01, 0.02"}


def send(client: FlaskClient, text: str, **fields: str) -> TestResponse:
    page = client.get("/sweeps")
    given = hidden_fields(page.text) | FORM | {"dataset": text} | fields
    return client.post("/sweeps", data=given)


def only(backend: Backend) -> Sweep:
    [sweep] = sweeps.list_page(backend, "local").data
    return sweeps.get(backend, "local", sweep.id)


def test_a_sweep_is_started_looked_at_cancelled_and_deleted(
    client: FlaskClient, backend: Backend, dataset: str
) -> None:
    answer = send(client, dataset, halving="on")
    sweep = only(backend)
    assert answer.status_code == 303
    assert answer.headers["Location"].endswith(f"/sweeps/{sweep.id}")
    page = client.get(f"/sweeps/{sweep.id}").text
    assert "<b>rates" not in page
    assert "&lt;b&gt;rates" in page
    for trial in sweep.trials:
        assert trial.job is not None
        assert f"/jobs/{trial.job.id}" in page
    fields = hidden_fields(page)
    assert client.post(f"/sweeps/{sweep.id}/cancel", data=fields).status_code == 303
    page = client.get(f"/sweeps/{sweep.id}").text
    assert client.post(f"/sweeps/{sweep.id}/delete", data=hidden_fields(page)).status_code == 303
    assert sweeps.list_page(backend, "local").data == []


def test_a_range_is_drawn_from_and_far_ends_by_their_size(
    client: FlaskClient, backend: Backend, dataset: str
) -> None:
    send(client, dataset, method="random", trials="4", **{"training.learning_rate": "1e-4 .. 0.1"})
    sweep = only(backend)
    assert sweep.request["space"]["training.learning_rate"] == {
        "min": 1e-4,
        "max": 0.1,
        "scale": "log",
    }
    assert len(sweep.trials) == 4


@pytest.mark.parametrize(
    ("fields", "said"),
    [
        ({"training.learning_rate": ""}, "at least one setting"),
        ({"training.learning_rate": "fast"}, "Write values like"),
        ({"training.learning_rate": "-1"}, "message-training.learning_rate"),
        ({"method": "random", "trials": "many"}, "whole number"),
        ({"method": "random", "trials": "1000"}, "message-trials"),
        ({"dataset": ""}, "Choose a text"),
        ({"dataset": "data-nobody-has"}, "There is no dataset"),
        ({"csrf_token": "old"}, "open for too long"),
    ],
)
def test_what_is_wrong_is_said_and_what_was_typed_is_kept(
    client: FlaskClient, backend: Backend, dataset: str, fields: dict[str, str], said: str
) -> None:
    answer = send(client, dataset, **fields)
    assert answer.status_code == 422
    assert said in answer.text
    assert "&lt;b&gt;rates&lt;/b&gt;" in answer.text
    assert sweeps.list_page(backend, "local").data == []
