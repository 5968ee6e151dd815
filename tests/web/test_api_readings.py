"""Evaluations and predictions of whole texts: turn by turn, answered as files."""

import json
import math
from collections.abc import Iterator
from contextlib import closing
from pathlib import Path

import pytest
from flask.testing import FlaskClient

from lstmcore.config import Sampling
from lstmcore.corpus import Corpus
from lstmcore.sampling import generate, load_model
from lstmcore.scoring import evaluate
from tests.web.answers import TUTORIAL, problem_of, refused_fields
from worker import datasets, leases, models, retention, turns
from worker.backend import Backend
from worker.predictions import Predictor
from worker.records import Job, Model
from worker.verification import verify

URL = "/api/v1/jobs"
LINES = "".join(f"what is your name {number}\n" for number in range(40))


@pytest.fixture(autouse=True)
def short_turns(monkeypatch: pytest.MonkeyPatch) -> None:
    """Every turn ends after its first step."""
    monkeypatch.setattr(turns, "TURN_SECONDS", 0.0)


def work(backend: Backend, *, forgetful: bool) -> Iterator[Job]:
    """Turn after turn until there is nothing to do; a forgetful predictor was killed each time."""
    predictor = Predictor(backend, "test", lambda: False)
    while (claim := leases.claim(backend, "predict", "test")) is not None:
        yield predictor.run(claim)
        if forgetful:
            predictor = Predictor(backend, "test", lambda: False)


def submitted(client: FlaskClient, **body: object) -> str:
    response = client.post(URL, json=body)
    assert response.status_code == 202, response.text
    identifier: str = response.json["id"]
    return identifier


@pytest.mark.parametrize("forgetful", [False, True])
def test_an_evaluation_finds_what_the_library_finds(
    client: FlaskClient, backend: Backend, model: Model, tmp_path: Path, forgetful: bool
) -> None:
    job = submitted(client, kind="evaluate", model=model.name, text=TUTORIAL)
    *_, last = work(backend, forgetful=forgetful)
    found = client.get(f"{URL}/{job}").json
    assert (last.id, found["kind"], found["state"]) == (job, "evaluate", "succeeded")
    loaded = load_model(models.download(backend, model, tmp_path / "model"))
    expected = evaluate(loaded, Corpus.from_bytes(loaded.layout, TUTORIAL.encode()))
    assert found["result"]["loss"] == expected.loss
    assert found["result"]["perplexity"] == pytest.approx(math.exp(expected.loss))
    assert found["result"]["tokens"] == expected.tokens
    assert client.get(f"/jobs/{job}").status_code == 200


@pytest.mark.parametrize("forgetful", [False, True])
def test_a_text_is_predicted_line_by_line_into_one_file(
    client: FlaskClient, backend: Backend, model: Model, tmp_path: Path, forgetful: bool
) -> None:
    text = client.post("/api/v1/datasets", json={"name": "many", "text": LINES}).json["id"]
    job = submitted(
        client, kind="predict", model=model.id, dataset=text, sampling={"seed": 7, "max_tokens": 2}
    )
    problem_of(client.get(f"{URL}/{job}/download"), 409)
    turns_taken = list(work(backend, forgetful=forgetful))
    assert len(turns_taken) > 2
    answer = client.get(f"{URL}/{job}/download")
    assert answer.mimetype == "application/x-ndjson"
    lines = [json.loads(line) for line in answer.text.splitlines()]
    assert [line["index"] for line in lines] == list(range(40))
    loaded = load_model(models.download(backend, model, tmp_path / "model"))
    for line in lines[::13]:
        sampling = Sampling(seed=7 + line["index"], max_tokens=2)
        alone = generate(loaded, line["prompt"], sampling)
        assert line["completions"] == alone["completions"]
    result = client.get(f"{URL}/{job}").json["result"]
    assert (result["prompts"], result["bytes"]) == (40, len(answer.data))
    # The files are looked after like all others: whole, kept by the collector, gone with the job.
    assert verify(backend).good
    assert retention.collect(backend, older_than=0) == []
    assert client.delete(f"{URL}/{job}").status_code == 204
    assert not [key for key, _ in backend.store.written() if job in key]


def test_the_kinds_are_told_apart(client: FlaskClient, backend: Backend, model: Model) -> None:
    reading = submitted(client, kind="evaluate", model=model.id, text=TUTORIAL)
    writing = submitted(client, kind="predict", model=model.id, prompt="what is")
    for kind, job in (("evaluate", reading), ("predict", writing)):
        assert [each["id"] for each in client.get(f"{URL}?kind={kind}").json["data"]] == [job]
    problem_of(client.get(f"{URL}/{writing}/download"), 404)
    with closing(client.get("/jobs?kind=evaluate")) as page:
        assert page.status_code == 200
        assert reading in page.text


def test_what_does_not_fit_the_model_is_refused(
    client: FlaskClient, backend: Backend, model: Model
) -> None:
    pairs = datasets.create(backend, "local", name="pairs", data=b"one : two\nthree : four\n")
    assert pairs.layout == "pairs"
    body = {"kind": "evaluate", "model": model.id, "dataset": pairs.id}
    assert "pairs" in problem_of(client.post(URL, json=body), 422)["detail"]


@pytest.mark.parametrize(
    "body",
    [
        {"kind": "evaluate"},
        {"kind": "evaluate", "dataset": "x", "text": "y"},
        {"kind": "predict", "dataset": "x", "prompt": "y"},
        {"kind": "nothing"},
    ],
)
def test_contradictions_are_refused(
    client: FlaskClient, model: Model, body: dict[str, str]
) -> None:
    assert refused_fields(client.post(URL, json={"model": model.id, **body}))


def test_a_repeated_evaluation_is_the_first_one(client: FlaskClient, model: Model) -> None:
    body = {"kind": "evaluate", "model": model.id, "text": TUTORIAL}
    key = {"Idempotency-Key": "once"}
    first, second = (client.post(URL, json=body, headers=key).json["id"] for _ in range(2))
    assert first == second
    assert len(client.get("/api/v1/datasets").json["data"]) == 1


def test_what_a_model_cannot_be_judged_on_is_refused_at_once(
    client: FlaskClient, model: Model
) -> None:
    pairs, lines = (
        client.post("/api/v1/datasets", json={"text": text}).json
        for text in ("what is : this\nand what : is that\n", TUTORIAL)
    )
    assert (pairs["layout"], lines["layout"]) == ("pairs", "lines")
    body = {"kind": "evaluate", "model": model.id}
    assert refused_fields(client.post(URL, json=body | {"dataset": pairs["id"]})) == [["dataset"]]
    submitted(client, **body, dataset=lines["id"])
    # A text sent along is read as the model's own was, whatever it looks like.
    job = submitted(client, **body, text="what is : this\nand what : is that\n")
    read = client.get(f"{URL}/{job}").json["dataset"]
    assert client.get(f"/api/v1/datasets/{read}").json["layout"] == "lines"
    unknown = client.post(URL, json=body | {"model": "nothing", "text": TUTORIAL})
    assert problem_of(unknown, 404)


def test_many_jobs_are_stopped_at_once(client: FlaskClient, model: Model) -> None:
    jobs = [
        submitted(client, kind="predict", model=model.id, name=f"job {n}", prompt="what is")
        for n in range(4)
    ]
    answer = client.post(f"{URL}/cancel", json={"ids": [jobs[0], "job-unknown", jobs[0]]}).json
    assert answer["cancelled"] == [jobs[0]]
    assert [each["id"] for each in answer["skipped"]] == ["job-unknown"]
    answer = client.post(f"{URL}/cancel", json={"filter": {"name": "job"}}).json
    assert sorted(answer["cancelled"]) == sorted(jobs[1:])
    assert not answer["has_more"]
    states = {each["state"] for each in client.get(URL).json["data"]}
    assert states == {"cancelled"}
    for wrong in ({}, {"ids": jobs, "filter": {}}, {"ids": []}):
        assert refused_fields(client.post(f"{URL}/cancel", json=wrong))
