"""Questions about a model, asked over HTTP of a real predictor."""

import math
import os
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from flask.testing import FlaskClient
from pydantic import BaseModel

from lstmcore.config import resolve_config
from lstmcore.corpus import read_corpus, summarize
from lstmcore.training import Trainer
from tests.processes import PATIENCE_SECONDS, eventually
from tests.web.answers import TUTORIAL, import_model, problem_of, refused_fields
from web import create_app
from web.api.insight_shapes import (
    ExplainAnswer,
    MapAnswer,
    NearestAnswer,
    NeuronsAnswer,
    NextAnswer,
    SaliencyAnswer,
    ScoreAnswer,
)
from web.api.predict import PredictionAnswer
from worker.settings import Settings

SHAPES: dict[str, type[BaseModel]] = {
    "explain": ExplainAnswer,
    "neurons": NeuronsAnswer,
    "next": NextAnswer,
    "predict": PredictionAnswer,
    "saliency": SaliencyAnswer,
    "score": ScoreAnswer,
}


@pytest.fixture(scope="module")
def asked(tmp_path_factory: pytest.TempPathFactory, redis_server: str) -> Iterator[FlaskClient]:
    """A client of an installation with the lesson's model, `lesson`, and a predictor."""
    folder = tmp_path_factory.mktemp("insights")
    settings = Settings(data_dir=folder / "var", redis_url=redis_server)
    app = create_app(settings)
    backend = app.extensions["lstmq"]
    import_model(backend, "local", "lesson", lesson_files(folder / "model"))
    clean = {name: value for name, value in os.environ.items() if name[:6] != "LSTMQ_"}
    chosen = {"LSTMQ_DATA_DIR": str(settings.data_dir), "LSTMQ_REDIS_URL": redis_server}
    command = [
        "celery",
        "-A",
        "worker",
        "worker",
        "-Q",
        "predict",
        "--pool",
        "solo",
        "-n",
        "insights@%h",
    ]
    with (folder / "log").open("w") as log:
        predictor = subprocess.Popen(
            [sys.executable, "-m", *command], env=clean | chosen, stdout=log, stderr=log
        )
    try:
        eventually(lambda: backend.live.workers_online("predict"))
        yield app.test_client()
    finally:
        predictor.terminate()
        predictor.wait(timeout=PATIENCE_SECONDS)
        backend.close()


def lesson_files(folder: Path) -> dict[str, bytes]:
    corpus = read_corpus(TUTORIAL.encode()).corpus
    trainer = Trainer.start(resolve_config({"preset": "tutorial"}, summarize(corpus)), corpus)
    for _ in trainer.run():
        pass
    trainer.write_best(folder)
    return {path.name: path.read_bytes() for path in folder.iterdir()}


def ask(client: FlaskClient, question: str, **body: Any) -> dict[str, Any]:
    response = client.post(f"/api/v1/models/lesson/{question}", json=body)
    assert response.status_code == 200, response.text
    assert response.json["model"].startswith("model-")
    assert response.json["seconds"] >= 0
    answer: dict[str, Any] = response.json
    SHAPES[question].model_validate(answer, strict=True)  # exactly what is described
    return answer


def test_a_text_is_scored(asked: FlaskClient) -> None:
    told = ask(asked, "score", text="india", prompt="what is capital of")
    assert told["tokens"][0]["token"] == told["tokens"][0]["expected"] == "india"
    assert told["perplexity"] == pytest.approx(math.exp(-told["logprob"]))
    whole = ask(asked, "score", text="what is capital of Atlantis jay")
    assert whole["unknown_tokens"] == ["atlantis"]
    assert [each["token"] for each in whole["tokens"]] == ["what", "is", "capital", "of", "jay"]
    assert whole["tokens"][-1]["expected"] == "india"
    assert whole["tokens"][-1]["logprob"] < whole["tokens"][-1]["expected_logprob"]


def test_a_prediction_is_explained(asked: FlaskClient) -> None:
    told = ask(asked, "explain", text="what is capital of")
    assert (told["ids"], told["embedding_shape"]) == ([8, 3, 0, 6], [4, 10])
    assert told["next_tokens"][0]["token"] == "india"
    chances = ask(asked, "next", prompt="what is capital of")["candidates"]
    assert chances[0]["logit"] == pytest.approx(told["next_tokens"][0]["logit"], abs=1e-4)


def test_a_prediction_is_what_its_description_says(asked: FlaskClient) -> None:
    sampling = {"max_tokens": 2, "n": 2, "logprobs": True}
    told = ask(asked, "predict", prompt="what is capital of atlantis", sampling=sampling)
    assert told["unknown_tokens"] == ["atlantis"]
    assert all(each["logprobs"] for each in told["completions"])


def test_neurons_and_what_mattered_are_told(asked: FlaskClient) -> None:
    told = ask(asked, "neurons", text="what is capital of", neuron=7)
    assert told["neurons"][0]["neuron"] == 7
    assert {len(each["values"]) for each in told["neurons"]} == {4}
    told = ask(asked, "saliency", prompt="what is capital of")
    assert told["predicted"] == "india"
    assert [each["token"] for each in told["context"]] == ["what", "is", "capital", "of"]


def test_words_have_neighbours_and_places(asked: FlaskClient) -> None:
    told = asked.get("/api/v1/models/lesson/nearest?token=india&count=3").json
    NearestAnswer.model_validate(told, strict=True)
    assert len(told["nearest"]) == 3
    told = asked.get("/api/v1/models/lesson/map").json
    MapAnswer.model_validate(told, strict=True)
    assert len(told["points"]) == 10
    assert len(asked.get("/api/v1/models/lesson/map?count=4").json["points"]) == 4


@pytest.mark.parametrize(
    ("question", "body", "words"),
    [
        ("score", {"text": ""}, "longer one"),
        ("explain", {"text": "Atlantis"}, "words the model knows"),
        ("explain", {"text": "what", "layer": 5}, "no layer 5"),
        ("neurons", {"text": "what", "neuron": 20}, "no neuron 20"),
        ("saliency", {"prompt": "what is", "token": "atlantis"}, "not one token"),
    ],
)
def test_what_the_model_cannot_do_is_said(
    asked: FlaskClient, question: str, body: dict[str, Any], words: str
) -> None:
    response = asked.post(f"/api/v1/models/lesson/{question}", json=body)
    assert words in problem_of(response, 422)["detail"]


def test_an_unknown_word_has_no_neighbours(asked: FlaskClient) -> None:
    problem_of(asked.get("/api/v1/models/lesson/nearest?token=atlantis"), 422)


@pytest.mark.parametrize(
    ("question", "body", "loc"),
    [
        ("next", {"prompt": "a" * 100_001}, ["prompt"]),
        ("score", {"text": "a" * 20_001}, ["text"]),
        ("score", {"text": "a", "prompt": "a" * 20_001}, ["prompt"]),
        ("score", {}, ["text"]),
        ("explain", {"text": "a" * 4_001}, ["text"]),
        ("explain", {"text": "a", "layer": "0"}, ["layer"]),
        ("neurons", {"text": "a", "neuron": True}, ["neuron"]),
        ("saliency", {"prompt": "a", "token": "b" * 201}, ["token"]),
        ("saliency", {"prompt": "a", "other": 1}, ["other"]),
    ],
)
def test_refused_values_are_named(
    asked: FlaskClient, question: str, body: dict[str, Any], loc: list[Any]
) -> None:
    assert loc in refused_fields(asked.post(f"/api/v1/models/lesson/{question}", json=body))


@pytest.mark.parametrize(
    ("query", "field"),
    [
        ("nearest", "token"),
        ("nearest?token=", "token"),
        ("nearest?token=a&count=101", "count"),
        ("map?count=0", "count"),
        ("map?count=1001", "count"),
    ],
)
def test_refused_queries_are_named(asked: FlaskClient, query: str, field: str) -> None:
    assert [field] in refused_fields(asked.get(f"/api/v1/models/lesson/{query}"))


def test_a_model_that_is_gone_is_404(asked: FlaskClient) -> None:
    problem_of(asked.post("/api/v1/models/other/score", json={"text": "a"}), 404)
