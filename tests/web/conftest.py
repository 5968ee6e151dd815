"""Records to ask the API about."""

from pathlib import Path
from typing import Any

import pytest
from flask.testing import FlaskClient

from tests.web.answers import TUTORIAL, import_model
from worker.backend import Backend
from worker.records import Model


@pytest.fixture
def dataset(client: FlaskClient) -> str:
    """The id of a stored text."""
    response = client.post("/api/v1/datasets", json={"name": "lesson", "text": TUTORIAL})
    assert response.status_code == 201, response.text
    identifier: str = response.json["id"]
    return identifier


@pytest.fixture
def job(client: FlaskClient, dataset: str) -> dict[str, Any]:
    """A training in the queue; no worker runs, so it stays there."""
    response = client.post(
        "/api/v1/jobs",
        json={"kind": "train", "dataset": dataset, "config": {"preset": "tutorial"}},
    )
    assert response.status_code == 202, response.text
    submitted: dict[str, Any] = response.json
    return submitted


@pytest.fixture(scope="session")
def model_files(tmp_path_factory: pytest.TempPathFactory) -> dict[str, bytes]:
    """The files of a small trained model."""
    from lstmcore.config import resolve_config  # noqa: PLC0415 - torch only where it is needed
    from lstmcore.corpus import read_corpus, summarize  # noqa: PLC0415
    from lstmcore.training import Trainer  # noqa: PLC0415

    corpus = read_corpus(TUTORIAL.encode()).corpus
    requested = {"preset": "tutorial", "training": {"epochs": 2}}
    trainer = Trainer.start(resolve_config(requested, summarize(corpus)), corpus)
    for _ in trainer.run():
        pass
    folder: Path = tmp_path_factory.mktemp("model")
    trainer.write_best(folder)
    return {path.name: path.read_bytes() for path in folder.iterdir()}


@pytest.fixture
def model(backend: Backend, model_files: dict[str, bytes]) -> Model:
    """A model of the local owner, its name holding a slash."""
    return import_model(backend, "local", "lessons/first", model_files)
