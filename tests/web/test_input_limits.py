"""Every value a stranger can send has a limit: one too large is refused, and nothing is done."""

from typing import Any

from flask.testing import FlaskClient

from tests.web.answers import TUTORIAL, problem_of
from worker.records import Model

LONG = "x" * 100_001
MANY = ["a"] * 2000
HUGE = 10**9


def native_values(dataset: str, model: str) -> dict[str, tuple[str, str, Any]]:
    train = {"kind": "train", "dataset": dataset}
    predict = {"kind": "predict", "model": model}
    ask = f"models/{model}/predict"
    return {
        "name of a text": ("POST", "datasets", {"name": LONG, "text": TUTORIAL}),
        "name of a job": ("POST", "jobs", train | {"name": LONG}),
        "name of a model": ("PATCH", f"models/{model}", {"name": LONG}),
        "name that is searched": ("GET", f"jobs?limit={HUGE}", None),
        "page": ("GET", f"models?limit={HUGE}", None),
        "wait": ("GET", f"jobs/x?wait={HUGE}", None),
        "event": ("GET", f"jobs/x/events?after={HUGE}{HUGE}", None),
        "prompts of a job": ("POST", "jobs", predict | {"prompts": MANY}),
        "prompts": ("POST", ask, {"prompts": MANY}),
        "prompt": ("POST", ask, {"prompt": LONG}),
        "max_tokens": ("POST", ask, {"prompt": "a", "sampling": {"max_tokens": HUGE}}),
        "n": ("POST", ask, {"prompt": "a", "sampling": {"n": HUGE}}),
        "beams": ("POST", ask, {"prompt": "a", "sampling": {"beams": HUGE}}),
        "temperature": ("POST", ask, {"prompt": "a", "sampling": {"temperature": HUGE}}),
        "stops": ("POST", ask, {"prompt": "a", "sampling": {"stop": MANY}}),
        "stop": ("POST", ask, {"prompt": "a", "sampling": {"stop": [LONG]}}),
        "seed": ("POST", ask, {"prompt": "a", "sampling": {"seed": 2**70}}),
        "layers": ("POST", "jobs", train | {"config": {"model": {"layers": HUGE}}}),
        "hidden_dim": ("POST", "jobs", train | {"config": {"model": {"hidden_dim": HUGE}}}),
        "epochs": ("POST", "jobs", train | {"config": {"training": {"epochs": HUGE}}}),
        "batch_size": ("POST", "jobs", train | {"config": {"training": {"batch_size": HUGE}}}),
        "vocab_size": ("POST", "jobs", train | {"config": {"tokenizer": {"vocab_size": HUGE}}}),
        "score": ("POST", f"models/{model}/score", {"text": LONG * 20}),
        "neighbours": ("GET", f"models/{model}/nearest?token=a&count={HUGE}", None),
        "owner of a key": ("POST", "keys", {"owner": LONG}),
        "days of a key": ("POST", "keys", {"owner": "a", "days": HUGE}),
        "name of a key": ("POST", "keys", {"owner": "a", "name": LONG}),
    }


def test_every_value_of_the_native_api_has_a_limit(
    client: FlaskClient, dataset: str, model: Model
) -> None:
    for what, (method, path, body) in native_values(dataset, model.id).items():
        response = client.open(f"/api/v1/{path}", method=method, json=body)
        problem = problem_of(response, 422)
        assert problem.get("errors"), what
    for resource, number in (("datasets", 1), ("jobs", 0), ("models", 1)):
        assert len(client.get(f"/api/v1/{resource}").json["data"]) == number
    headers = {"Idempotency-Key": "k" * 201}
    body = {"kind": "train", "dataset": dataset}
    problem_of(client.post("/api/v1/jobs", json=body, headers=headers), 422)


def test_every_value_of_the_openai_api_has_a_limit(client: FlaskClient, model: Model) -> None:
    ask = {"model": model.id, "prompt": "a"}
    for body in (
        ask | {"prompt": LONG},
        ask | {"prompt": MANY},
        ask | {"max_tokens": HUGE},
        ask | {"n": HUGE},
        ask | {"logprobs": HUGE},
        ask | {"temperature": HUGE},
        ask | {"stop": MANY},
        ask | {"stop": LONG},
        ask | {"seed": 2**70},
        ask | {"top_k": HUGE},
        ask | {"beams": HUGE},
    ):
        response = client.post("/v1/completions", json=body)
        assert response.status_code == 400, body
        assert response.json["error"]["message"]
    start = {"model": "lstm-char", "training_file": "file-x"}
    for more in (
        {"suffix": LONG},
        {"metadata": {str(number): "a" for number in range(100)}},
        {"metadata": {"a": LONG}},
        {"hyperparameters": {"n_epochs": HUGE}},
        {"hyperparameters": {"batch_size": HUGE}},
        {"seed": 2**70},
    ):
        answer = client.post("/v1/fine_tuning/jobs", json=start | more)
        assert answer.status_code == 400, more
    assert client.get(f"/v1/fine_tuning/jobs?limit={HUGE}").status_code == 400
