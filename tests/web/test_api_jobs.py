"""Jobs over HTTP while no worker runs: everything their owner can do with a waiting job."""

from typing import Any

import pytest
from flask.testing import FlaskClient

from tests.web.answers import TUTORIAL, problem_of, refused_fields
from web import create_app
from worker.records import Model
from worker.settings import Settings

URL = "/api/v1/jobs"
DATASETS = "/api/v1/datasets"


def train(client: FlaskClient, headers: dict[str, str] | None = None, **body: Any) -> Any:
    body = {"kind": "train", "text": TUTORIAL, "config": {"preset": "tutorial"}} | body
    return client.post(URL, json=body, headers=headers)


def test_a_training_is_accepted_at_once(client: FlaskClient, dataset: str) -> None:
    response = train(client, text=None, dataset=dataset, name="first")
    job = response.json
    assert response.status_code == 202
    assert response.headers["Location"] == job["links"]["self"] == f"{URL}/{job['id']}"
    assert job["links"]["events"] == f"{URL}/{job['id']}/events"
    assert (job["object"], job["kind"], job["name"], job["owner"]) == (
        "job",
        "train",
        "first",
        "local",
    )
    assert (job["state"], job["pending"], job["queue_position"]) == ("queued", None, 1)
    assert (job["started_at"], job["finished_at"], job["result"], job["error"]) == (None,) * 4
    assert job["progress"].keys() == {
        "step",
        "total_steps",
        "epoch",
        "total_epochs",
        "fraction",
        "tokens_per_second",
        "eta_seconds",
    }
    assert job["metrics"] == {
        "train_loss": None,
        "validation_loss": None,
        "validation_perplexity": None,
    }
    assert (job["slices"], job["workers_online"]) == (0, 0)
    assert job["config"]["preset"] == "tutorial"
    assert client.get(response.headers["Location"]).json == job


def test_a_text_sent_along_becomes_a_dataset(client: FlaskClient) -> None:
    job = train(client, name="typed").json
    assert client.get(f"{DATASETS}/{job['dataset']}").json["name"] == "typed"


def test_a_prediction_is_accepted(client: FlaskClient, model: Model) -> None:
    for reference in (model.id, model.name):
        body = {"kind": "predict", "model": reference, "prompt": "what is", "sampling": {"seed": 1}}
        response = client.post(URL, json=body)
        assert response.status_code == 202
        assert response.json["kind"] == "predict"
        assert response.json["config"]["model"] == model.id


def test_waiting_for_a_job_nobody_runs_ends_in_time(client: FlaskClient) -> None:
    response = train(client, headers={"Prefer": "respond-async, wait=1"})
    assert response.status_code == 202
    assert response.headers["Preference-Applied"] == "wait=1"
    assert train(client, headers={"Prefer": "wait=soon"}).status_code == 202
    assert client.get(f"{response.headers['Location']}?wait=1").json["state"] == "queued"


def test_a_finished_job_answers_a_repeated_submit_with_200(client: FlaskClient) -> None:
    headers = {"Idempotency-Key": "one", "Prefer": "wait=30"}
    job = train(client, headers={"Idempotency-Key": "one"}).json
    client.post(f"{URL}/{job['id']}/cancel")
    repeated = train(client, headers=headers)
    assert (repeated.status_code, repeated.json["id"]) == (200, job["id"])
    assert repeated.json["state"] == "cancelled"


def test_one_key_makes_one_job(client: FlaskClient, dataset: str) -> None:
    headers = {"Idempotency-Key": "same"}
    first = train(client, headers=headers, text=None, dataset=dataset)
    again = train(client, headers=headers, text=None, dataset=dataset)
    assert (first.status_code, again.status_code) == (202, 202)
    assert again.json["id"] == first.json["id"]
    other = train(client, headers=headers, text=None, dataset=dataset, name="another")
    assert refused_fields(other) == [["Idempotency-Key"]]
    assert len(client.get(URL).json["data"]) == 1


def test_one_key_makes_one_job_and_one_dataset_of_a_text(client: FlaskClient) -> None:
    headers = {"Idempotency-Key": "same"}
    first, again = train(client, headers=headers), train(client, headers=headers)
    assert again.json["id"] == first.json["id"]
    assert len(client.get(URL).json["data"]) == len(client.get(DATASETS).json["data"]) == 1
    other = train(client, headers=headers, text="quite another text about other things")
    problem_of(other, 422)
    assert len(client.get(URL).json["data"]) == len(client.get(DATASETS).json["data"]) == 1


@pytest.mark.parametrize("key", ["", "x" * 201, "a\tb"])
def test_an_unusable_key_is_refused(client: FlaskClient, key: str) -> None:
    response = train(client, headers={"Idempotency-Key": key})
    assert refused_fields(response) == [["Idempotency-Key"]]
    assert client.get(DATASETS).json["data"] == []


@pytest.mark.parametrize(
    ("changes", "loc"),
    [
        ({"kind": "dream"}, ["kind"]),
        ({"kind": None}, ["kind"]),
        ({"kind": ["train"]}, ["kind"]),
        ({"text": None}, ["dataset"]),
        ({"dataset": "data-1"}, ["dataset"]),
        ({"text": 5}, ["text"]),
        ({"name": 5}, ["name"]),
        ({"colour": "red"}, ["colour"]),
        ({"config": None}, ["config"]),
        ({"config": []}, ["config"]),
        ({"config": {"preset": "poem"}}, ["config", "preset"]),
        ({"config": {"colour": "red"}}, ["config", "colour"]),
        ({"config": {"preset": "word", "model": {"layers": 0}}}, ["config", "model", "layers"]),
        ({"config": {"preset": "word", "model": {"layers": True}}}, ["config", "model", "layers"]),
        (
            {"config": {"preset": "word", "training": {"learning_rate": "fast"}}},
            ["config", "training", "learning_rate"],
        ),
    ],
)
def test_a_refused_training_names_the_value_and_leaves_nothing(
    client: FlaskClient, changes: dict[str, Any], loc: list[str]
) -> None:
    found = refused_fields(train(client, **changes))
    assert loc in found
    assert client.get(URL).json["data"] == client.get(DATASETS).json["data"] == []


def test_a_text_that_is_refused_leaves_nothing(client: FlaskClient) -> None:
    problem_of(train(client, text="  \n "), 422)
    assert client.get(DATASETS).json["data"] == []


@pytest.mark.parametrize(
    ("changes", "loc"),
    [
        ({"prompt": None}, ["prompt"]),
        ({"prompts": ["a"]}, ["prompt"]),
        ({"prompt": None, "prompts": []}, ["prompt"]),
        ({"prompt": 5}, ["prompt"]),
        ({"prompt": None, "prompts": ["a", 5]}, ["prompts", 1]),
        ({"prompt": "a\ud800"}, ["prompt"]),
        ({"model": None}, ["model"]),
        ({"sampling": {"temperature": -1}}, ["sampling", "temperature"]),
        ({"sampling": {"warmth": 1}}, ["sampling", "warmth"]),
        ({"stream": True}, ["stream"]),
    ],
)
def test_a_refused_prediction_names_the_value(
    client: FlaskClient, model: Model, changes: dict[str, Any], loc: list[Any]
) -> None:
    body = {"kind": "predict", "model": model.id, "prompt": "what is"} | changes
    found = refused_fields(client.post(URL, json=body))
    assert loc in found


def test_what_a_job_names_must_exist(client: FlaskClient) -> None:
    problem_of(train(client, text=None, dataset="data-1"), 404)
    problem_of(client.post(URL, json={"kind": "predict", "model": "m", "prompt": "a"}), 404)


def test_a_model_too_large_is_refused_before_it_is_accepted(client: FlaskClient) -> None:
    huge = {"preset": "word", "model": {"hidden_dim": 8192, "layers": 8}}
    assert problem_of(train(client, config=huge), 422)["errors"]
    assert client.get(DATASETS).json["data"] == []


def test_too_many_jobs_are_429_with_a_time_to_ask_again(settings: Settings) -> None:
    app = create_app(settings.model_copy(update={"max_active_jobs": 1}))
    client = app.test_client()
    first = train(client)
    refused = train(client)
    problem_of(refused, 429)
    assert int(refused.headers["Retry-After"]) > 0
    assert len(client.get(DATASETS).json["data"]) == 1
    client.post(f"{URL}/{first.json['id']}/cancel")
    assert train(client).status_code == 202
    app.extensions["lstmq"].close()


def test_pause_resume_cancel_delete(client: FlaskClient, job: dict[str, Any]) -> None:
    address = f"{URL}/{job['id']}"
    assert client.post(f"{address}/pause").json["state"] == "paused"
    assert problem_of(client.post(f"{address}/pause"), 409)["state"] == "paused"
    assert client.get(address).json["queue_position"] is None
    assert client.post(f"{address}/resume").json["state"] == "queued"
    assert problem_of(client.post(f"{address}/resume"), 409)["state"] == "queued"
    assert problem_of(client.delete(address), 409)["state"] == "queued"
    cancelled = client.post(f"{address}/cancel").json
    assert (cancelled["state"], cancelled["pending"]) == ("cancelled", None)
    assert cancelled["finished_at"] is not None
    for move in ("cancel", "pause", "resume"):
        assert problem_of(client.post(f"{address}/{move}"), 409)["state"] == "cancelled"
    assert client.delete(address).status_code == 204
    problem_of(client.get(address), 404)


def test_moves_accept_clients_that_send_a_json_type_without_a_body(
    client: FlaskClient, job: dict[str, Any]
) -> None:
    response = client.post(f"{URL}/{job['id']}/pause", content_type="application/json")
    assert response.status_code == 200


def test_an_unknown_job_is_404_everywhere(client: FlaskClient) -> None:
    for identifier in ("job-1", "..%2f..%2fetc", "%00", "x" * 2000, "%EF%BC%8E"):
        address = f"{URL}/{identifier}"
        for method, path in [
            ("GET", address),
            ("DELETE", address),
            ("GET", f"{address}/events"),
            ("POST", f"{address}/cancel"),
            ("POST", f"{address}/pause"),
            ("POST", f"{address}/resume"),
        ]:
            problem_of(client.open(path, method=method), 404)


def test_lists_filter_and_page(client: FlaskClient, model: Model) -> None:
    trained = [train(client, name=f"poem {number}").json["id"] for number in range(3)]
    client.post(URL, json={"kind": "predict", "model": model.id, "prompt": "what is"})
    client.post(f"{URL}/{trained[0]}/cancel")

    def ids(**query: Any) -> list[str]:
        page = client.get(URL, query_string=query).json
        return [item["id"] for item in page["data"]]

    assert ids(kind="train") == trained[::-1]
    assert ids(kind="train", state="queued") == [trained[2], trained[1]]
    assert ids(state="cancelled") == [trained[0]]
    assert ids(name="poem 1") == [trained[1]]
    assert ids(name="%") == []
    first = client.get(f"{URL}?limit=3").json
    assert first["has_more"]
    rest = client.get(f"{URL}?limit=3&after={first['next']}").json
    assert (len(rest["data"]), rest["has_more"], rest["next"]) == (1, False, None)


@pytest.mark.parametrize(
    "query",
    [
        "state=foo",
        "kind=foo",
        "limit=0",
        "limit=101",
        "limit=-1",
        "limit=1e1",
        "after=job-1",
        "after=",
        "after=%00",
        "colour=red",
        "state=queued&state=running",
    ],
)
def test_a_wrong_query_is_refused(client: FlaskClient, query: str) -> None:
    assert refused_fields(client.get(f"{URL}?{query}")) == [[query.partition("=")[0]]]


@pytest.mark.parametrize("wait", ["-1", "61", "soon", "nan"])
def test_a_wrong_wait_is_refused(client: FlaskClient, job: dict[str, Any], wait: str) -> None:
    assert refused_fields(client.get(f"{URL}/{job['id']}?wait={wait}")) == [["wait"]]


def test_an_unchanged_job_is_304_and_a_changed_one_is_sent(
    client: FlaskClient, job: dict[str, Any]
) -> None:
    address = f"{URL}/{job['id']}"
    tag = client.get(address).headers["ETag"]
    unchanged = client.get(address, headers={"If-None-Match": tag})
    assert (unchanged.status_code, unchanged.data) == (304, b"")
    assert unchanged.headers["ETag"] == tag
    waited = client.get(f"{address}?wait=1", headers={"If-None-Match": tag})
    assert waited.status_code == 304
    client.post(f"{address}/pause")
    changed = client.get(f"{address}?wait=60", headers={"If-None-Match": tag})
    assert (changed.status_code, changed.json["state"]) == (200, "paused")
    assert changed.headers["ETag"] != tag


def test_waiting_for_a_finished_job_does_not_wait(client: FlaskClient, job: dict[str, Any]) -> None:
    address = f"{URL}/{job['id']}"
    client.post(f"{address}/cancel")
    tag = client.get(f"{address}?wait=60").headers["ETag"]
    final = client.get(f"{address}?wait=60", headers={"If-None-Match": tag})
    assert final.status_code == 304


@pytest.mark.parametrize("priority", ["low", "normal", "high"])
def test_a_priority_is_taken_as_json_says_it(
    client: FlaskClient, dataset: str, priority: str
) -> None:
    body = {"kind": "train", "dataset": dataset, "priority": priority}
    assert client.post(URL, json=body).json["priority"] == priority
    assert refused_fields(client.post(URL, json=body | {"priority": "urgent"})) == [["priority"]]
