"""What the pages of a model say before any script runs."""

from dataclasses import asdict
from html import escape
from urllib.parse import quote

import pytest
import sqlalchemy as sa
from flask.testing import FlaskClient

from worker import database, datasets, models, submissions
from worker.backend import Backend
from worker.records import Model

HOSTILE = "</textarea><script>alert(1)</script> “שלום” 🦉"


def test_a_model_has_a_page_that_looks_inside(client: FlaskClient, model: Model) -> None:
    page = client.get(f"/models/{model.id}/inside")
    assert page.status_code == 200
    assert "what is capital of</textarea>" in page.text  # the lesson's own words
    shown = client.get(f"/models/{model.id}/inside?text={quote(HOSTILE)}").text
    assert f"{escape(HOSTILE)}</textarea>".replace("&quot;", "&#34;") in shown
    assert "<script>alert" not in shown
    assert client.get("/models/model-none/inside").status_code == 404


def test_a_models_page_shows_its_card_and_goes_on_from_it(
    client: FlaskClient, backend: Backend, model: Model
) -> None:
    page = client.get(f"/models/{model.id}").text
    card = models.read_bytes(backend, model, "README.md").decode()
    assert escape(card.splitlines()[0]) in page
    assert f'href="/?init_from={model.id}"' in page
    assert client.get(f"/?init_from={model.id}").status_code == 200


@pytest.mark.parametrize(
    ("text", "opening"),
    [
        ("\n\n  The sea was calm.\nAnd blue.\n", "The sea was calm."),
        ("what is red : a colour\nwhat is two : a number\n", "what is red"),
        (f"{HOSTILE}\n" * 30, HOSTILE),
        ("é" * 10_000, "é" * 2_048),
    ],
)
def test_a_texts_opening_is_its_first_line(backend: Backend, text: str, opening: str) -> None:
    dataset = datasets.create(backend, "local", name="a text", data=text.encode())
    assert datasets.opening(backend, dataset) == opening


def test_what_is_explained_first_is_how_the_training_began(
    client: FlaskClient, backend: Backend, model: Model
) -> None:
    dataset = datasets.create(backend, "local", name="sea", data=b"The sea was calm. " * 40)
    job = submissions.submit_train(
        backend, "local", name="sea", dataset=dataset.id, config={"preset": "word"}
    )
    stored = {name: asdict(file) for name, file in model.files.items()}
    with backend.database.writing() as connection:
        identifier = models.add(
            connection,
            owner="local",
            name="sea",
            job=job.id,
            config=job.config,
            metrics={},
            files=stored,
        )
    page = client.get(f"/models/{identifier}/inside").text
    assert "The sea was calm." in page
    with backend.database.writing() as connection:
        connection.execute(sa.update(database.jobs).values(dataset=None))
    assert client.get(f"/models/{identifier}/inside").status_code == 200
