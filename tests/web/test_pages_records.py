"""The pages of jobs, models and workers, without a browser, and what all pages promise."""

import re
from dataclasses import asdict

import pytest
from flask.testing import FlaskClient

from tests.web.answers import TUTORIAL
from tests.web.html import Elements, hidden_fields, job_of, kept_text, refusal, send, weight
from web import create_app
from web.pages import wording
from worker import datasets, jobs, models, submissions
from worker.backend import Backend
from worker.records import Model
from worker.settings import Settings

HOSTILE = "<script>alert(1)</script><img src=x onerror=alert(2)>"
EVERY_PAGE = ("/", "/jobs", "/models", "/workers")


def add_model(backend: Backend, name: str = "parrot") -> Model:
    """A model's record and files; nobody loads its tensors here."""
    stored = {
        file: asdict(backend.store.put(f"models/{name}/{file}", b"{}")) for file in models.FILES
    }
    config = {"preset": "word", "tokenizer": {"level": "word"}, "model": {}, "training": {}}
    config["model"] = {"layers": 1, "hidden_dim": 8}
    with backend.database.writing() as connection:
        identifier = models.add(
            connection,
            owner="local",
            name=name,
            job=None,
            config=config,
            metrics={"train_loss": 1.5, "validation_loss": 2.0},
            files=stored,
        )
    return models.get(backend, "local", identifier)


# -- jobs and models ------------------------------------------------------------------------------


def test_buttons_are_forms_that_need_a_token(client: FlaskClient, backend: Backend) -> None:
    identifier = job_of(send(client, text=TUTORIAL, preset="tutorial"))
    token = hidden_fields(client.get(f"/jobs/{identifier}").text)
    assert client.post(f"/jobs/{identifier}/pause").status_code == 403
    for move, state in (("pause", "paused"), ("resume", "queued"), ("cancel", "cancelled")):
        assert f"/jobs/{identifier}/{move}" in client.get(f"/jobs/{identifier}").text
        assert client.post(f"/jobs/{identifier}/{move}", data=token).status_code == 303
        assert jobs.get(backend, "local", identifier).state == state
    refused = client.post(f"/jobs/{identifier}/cancel", data=token)
    assert refused.status_code == 409
    assert f'href="/jobs/{identifier}"' in refused.text
    assert client.post(f"/jobs/{identifier}/delete", data=token).status_code == 303
    assert client.get(f"/jobs/{identifier}").status_code == 404


def test_the_list_filters_by_state_and_pages(client: FlaskClient, backend: Backend) -> None:
    text = datasets.create(backend, "local", name="t", data=TUTORIAL.encode())
    for number in range(18):
        config = {"preset": "tutorial"}
        job = submissions.submit_train(
            backend, "local", name=f"number {number}", dataset=text.id, config=config
        )
        if number % 3 == 0:
            jobs.pause(backend, "local", job.id)
    assert client.get("/jobs").text.count("number ") >= 18
    paused = client.get("/jobs?state=paused").text
    assert len(re.findall(r"<bdi>number", paused)) == 6
    assert client.get("/jobs?state=asleep").status_code == 404
    assert client.get("/jobs?after=nonsense").status_code == 422


def test_no_worker_is_said_with_the_command_that_helps(client: FlaskClient) -> None:
    for address in ("/", "/jobs", "/workers"):
        page = client.get(address).text
        assert "No worker is online" in page
        assert "celery -A worker worker -Q train" in page


def test_pages_answer_while_redis_is_away(settings: Settings) -> None:
    app = create_app(settings.model_copy(update={"redis_url": "redis://127.0.0.1:1"}))
    client = app.test_client()
    assert send(client, text=TUTORIAL, preset="tutorial").status_code == 303
    for address in EVERY_PAGE:
        page = client.get(address)
        assert page.status_code == 200
        assert address == "/models" or "The queue cannot be reached" in page.text
    app.extensions["lstmq"].close()


def test_a_model_is_renamed_and_deleted(client: FlaskClient, backend: Backend) -> None:
    model, other = add_model(backend), add_model(backend, "second")
    page = client.get("/models/parrot").text
    assert f'href="/api/v1/models/{model.id}/download"' in page
    token = hidden_fields(page)
    taken = client.post(f"/models/{model.id}/rename", data=token | {"name": other.name})
    assert refusal(taken, "name")
    for name in ("", "n" * 201):
        assert refusal(
            client.post(f"/models/{model.id}/rename", data=token | {"name": name}), "name"
        )
    client.post(f"/models/{model.id}/rename", data=token | {"name": "macaw"})
    assert "macaw" in client.get(f"/models/{model.id}").text
    assert client.post(f"/models/{model.id}/delete").status_code == 403
    assert client.post(f"/models/{model.id}/delete", data=token).location == "/models"
    assert client.get(f"/models/{model.id}").status_code == 404


def test_unknown_addresses_are_pages(client: FlaskClient) -> None:
    for address in ("/nothing", "/jobs/job-unknown", "/models/unknown"):
        response = client.get(address)
        assert response.status_code == 404
        assert response.mimetype == "text/html"
        assert "There is nothing here" in response.text
        assert 'href="/jobs"' in response.text


# -- what all pages promise -----------------------------------------------------------------------


def test_what_people_write_is_shown_as_text(client: FlaskClient, backend: Backend) -> None:
    identifier = job_of(send(client, text=f"{HOSTILE} and words\n" * 5, name=HOSTILE))
    model = add_model(backend, HOSTILE)
    addresses = ("/jobs", f"/jobs/{identifier}", "/models", f"/models/{model.id}")
    for address in addresses:
        page = client.get(address).text
        assert "<script>alert" not in page
        assert "<img" not in page
        assert "&lt;img" in page
    again = send(client, text=f"</textarea>{HOSTILE}", **{"csrf_token": "stale"}).text
    assert "<img" not in again
    assert kept_text(again).strip() == f"</textarea>{HOSTILE}"


def test_nothing_is_inline_and_everything_comes_from_here(
    client: FlaskClient, backend: Backend
) -> None:
    identifier = job_of(send(client, text=TUTORIAL))
    model = add_model(backend)
    for address in (*EVERY_PAGE, f"/jobs/{identifier}", f"/models/{model.id}", "/nothing"):
        page = client.get(address)
        assert "unsafe-inline" not in page.headers["Content-Security-Policy"]
        for tag, attrs in Elements(page.text).found:
            assert "style" not in attrs
            assert not [name for name in attrs if name.startswith("on")]
            for name in ("src", "href", "action"):
                assert (attrs.get(name) or "/").startswith(("/", "#"))
            if tag == "script":
                assert "src" in attrs or attrs["type"] == "application/json"
            if tag == "style":
                pytest.fail("a style element would need unsafe-inline")


def test_the_first_view_is_small(client: FlaskClient) -> None:
    assert weight(client, "/") < 150_000
    assert weight(client, f"/jobs/{job_of(send(client, text=TUTORIAL))}") < 150_000


@pytest.mark.parametrize(
    ("seconds", "words"),
    [(None, "–"), (0, "under 1 s"), (59, "59 s"), (60, "1 min"), (5400, "1 h 30 min")],  # noqa: RUF001
)
def test_lengths_of_time_in_words(seconds: float | None, words: str) -> None:
    assert wording.duration(seconds) == words


def test_numbers_that_are_none_are_never_shown() -> None:
    for number in (None, float("nan"), float("inf")):
        assert wording.loss(number) == wording.perplexity(number) == wording.NOTHING
    assert wording.perplexity(1e6)
