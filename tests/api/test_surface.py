"""The public surface as it was promised, sentence by sentence, on the whole service."""

import io
import json
import zipfile
from collections.abc import Iterator
from typing import Any

import httpx
import pytest

from lstmcore.model_record import FILES
from tests.processes import eventually
from tests.web.answers import TUTORIAL

LISTS = ("datasets", "jobs", "models", "sweeps", "webhooks", "keys", "audit")
LINES = {
    "gb18030": "今天天气很好 我们去公园散步\n",
    "big5": "今天天氣很好 我們去公園散步\n",
    "shift_jis": "今日はとても良い天気ですね 散歩に行きましょう\n",
    "euc_jp": "今日はとても良い天気ですね 散歩に行きましょう\n",
    "euc_kr": "오늘은 날씨가 아주 좋습니다 공원에 갑시다\n",
    "cp1251": "Сегодня очень хорошая погода, пойдём гулять в парк.\n",
    "koi8_r": "Сегодня очень хорошая погода, пойдём гулять в парк.\n",
    "cp1252": "Il fait très beau, le café coûte 3 € près de l'église.\n",
}
UNICODE = ("utf-8", "utf-8-sig", "utf-16", "utf-16-le", "utf-16-be")
JOB = (
    "id object kind name owner state created_at started_at finished_at queue_position "
    "workers_online progress metrics slices config error result links"
)
PROGRESS = "step total_steps epoch total_epochs fraction tokens_per_second eta_seconds"
METRICS = "train_loss validation_loss validation_perplexity"
CONFIG = {
    "tokenizer": "level lowercase strip_punctuation vocab_size min_count",
    "model": "embed_dim hidden_dim layers dropout tie_weights softmax",
    "training": """epochs batch_size bptt learning_rate optimizer schedule warmup clip_norm
        validation_fraction patience seed max_seconds""",
}
TRAIN = {"kind": "train", "text": TUTORIAL, "config": {"preset": "tutorial"}}
ENDLESS = {"preset": "word", "training": {"epochs": 100_000, "patience": None}}


def problem(answer: httpx.Response, status: int) -> dict[str, Any]:
    assert answer.status_code == status, answer.text
    assert answer.headers["content-type"] == "application/problem+json"
    found: dict[str, Any] = answer.json()
    assert found.keys() >= {"type", "title", "status", "detail"}
    for error in found.get("errors", ()):
        assert error.keys() == {"loc", "msg"}
    return found


def done(api: httpx.Client, body: dict[str, Any]) -> dict[str, Any]:
    answer = api.post("/jobs", json=body, headers={"Prefer": "wait=60"})
    assert answer.status_code == 200, answer.text
    job: dict[str, Any] = answer.json()
    return job


def state_of(api: httpx.Client, job: str) -> str:
    return str(api.get(f"/jobs/{job}").json()["state"])


@pytest.fixture
def endless(api: httpx.Client) -> Iterator[dict[str, Any]]:
    """A training that runs until it is stopped."""
    job = api.post("/jobs", json=TRAIN | {"config": ENDLESS, "name": "without end"}).json()
    eventually(lambda: state_of(api, job["id"]) == "running")
    yield job
    api.post(f"/jobs/{job['id']}/cancel")
    eventually(lambda: state_of(api, job["id"]) == "cancelled")


@pytest.mark.parametrize("path", [*LISTS, "workers"])
def test_lists(api: httpx.Client, path: str) -> None:
    assert api.get(f"/{path}").json().keys() == {"data", "has_more", "next"}
    if path == "workers":
        return
    for query in ("after=not-issued", "limit=0", "limit=101", "unknown=1"):
        assert problem(api.get(f"/{path}?{query}"), 422)["errors"]


def test_pages_and_filters_of_jobs(api: httpx.Client) -> None:
    for number in range(3):
        done(api, TRAIN | {"name": f"page {number}"})
    seen, page = [], api.get("/jobs?limit=1&name=page").json()
    while True:
        seen += [job["id"] for job in page["data"]]
        assert page["has_more"] is (page["next"] is not None)
        if not page["has_more"]:
            break
        page = api.get("/jobs", params={"limit": 1, "name": "page", "after": page["next"]}).json()
    assert len(seen) == len(set(seen)) >= 3
    for query in ("kind=train", "state=succeeded", "kind=train&state=succeeded&name=PAGE"):
        assert set(seen) <= {
            job["id"] for job in api.get(f"/jobs?limit=100&{query}").json()["data"]
        }
    assert api.get("/jobs?kind=evaluate&name=page").json()["data"] == []
    for query in ("kind=x", "state=x"):
        problem(api.get(f"/jobs?{query}"), 422)


def test_wrong_values_are_422_and_unreadable_bodies_400(api: httpx.Client) -> None:
    for wrong in ({"nope": 1}, {"model": {"nope": 1}}, {"preset": "poem"}):
        found = problem(api.post("/jobs", json=TRAIN | {"config": wrong}), 422)
        assert found["errors"][0]["loc"][0] == "config"
    as_json = {"Content-Type": "application/json"}
    for body in ("{", '{"a": 1, "a": 2}', "[" * 100):
        problem(api.post("/jobs", content=body, headers=as_json), 400)
    problem(api.post("/jobs", content="x", headers={"Content-Type": "text/plain"}), 415)
    for address in ("/jobs/x", "/datasets/x", "/models/x", "/sweeps/x", "/nothing"):
        problem(api.get(address), 404)


@pytest.mark.parametrize("encoding", [*UNICODE, *LINES])
def test_encodings(url: str, api: httpx.Client, encoding: str) -> None:
    text = LINES.get(encoding, "aujourd'hui 今天 сегодня très beau\n") * 20
    data = text.replace("\n", "\r\n").encode(encoding)
    for asked in ({}, {"encoding": encoding}):
        made = api.post("/datasets", files={"file": ("a.txt", data)}, data=asked)
        assert made.status_code == 201, made.text
        assert made.headers["Location"] == f"/api/v1/datasets/{made.json()['id']}"
        assert made.json()["report"]["newline"] == "CRLF"
        file = made.json()["id"].replace("data-", "file-")
        kept = api.get(f"{url}/v1/files/{file}/content").text
        assert kept.strip() == text.strip()


def test_formats_and_refusals_that_name_the_line(api: httpx.Client) -> None:
    def send(name: str, data: bytes) -> httpx.Response:
        return api.post("/datasets", files={"file": (name, data)})

    for name, data, layout in (
        ("a.txt", b"a b c\rd e f\r", "lines"),
        ("a.csv", b"prompt,completion\na b,c\nd e,f\n", "pairs"),
        ("a.tsv", b"text\tn\na b\t1\nd e\t2\n", "lines"),
        ("a.jsonl", b'{"prompt": "a b", "completion": "c"}\n', "pairs"),
    ):
        assert send(name, data).json()["layout"] == layout, name
    assert problem(send("a.csv", b"text,x\nhello,1\nworld,2,3\n"), 422)["line"] == 3
    assert problem(send("a.jsonl", b'{"text": "a b"}\n{"text": 3}\n'), 422)["line"] == 2
    problem(send("a.txt", b" \t\r\n "), 422)


def test_preview(api: httpx.Client) -> None:
    dataset = api.post("/datasets", json={"name": "seen", "text": TUTORIAL}).json()
    seen = api.get(f"/datasets/{dataset['id']}/preview?level=word").json()
    assert seen["lines"][0].keys() == {"text", "tokens", "ids"}
    assert seen.keys() >= {"tokens", "vocabulary", "rare_share", "unknown_share", "estimate"}
    assert seen["estimate"].keys() >= {"parameters", "memory_bytes", "seconds"}
    assert api.delete(f"/datasets/{dataset['id']}").status_code == 204


def test_a_job(api: httpx.Client) -> None:
    answer = api.post("/jobs", json=TRAIN, headers={"Prefer": "wait=60"})
    job = answer.json()
    assert answer.headers["Preference-Applied"] == "wait=60"
    assert answer.headers["Location"] == job["links"]["self"] == f"/api/v1/jobs/{job['id']}"
    assert job.keys() >= set(JOB.split())
    assert job["progress"].keys() == set(PROGRESS.split())
    assert job["metrics"].keys() >= set(METRICS.split())
    assert job["result"].keys() == {"model", "checkpoint", "stopped"}
    assert job["created_at"].endswith("Z")
    assert job["config"].keys() >= {"preset", "init_from", *CONFIG}
    for part, fields in CONFIG.items():
        assert job["config"][part].keys() >= set(fields.split())
    accepted = api.post("/jobs", json=TRAIN)
    assert (accepted.status_code, accepted.json()["finished_at"]) == (202, None)
    once = {"Idempotency-Key": job["id"]}
    first, again = (api.post("/jobs", json=TRAIN, headers=once).json() for _ in range(2))
    assert first["id"] == again["id"]
    problem(api.post("/jobs", json=TRAIN | {"name": "b"}, headers=once), 422)


def test_long_polls(api: httpx.Client, endless: dict[str, Any]) -> None:
    address = f"/jobs/{endless['id']}"
    tag = api.get(address).headers["ETag"]
    moved = api.get(f"{address}?wait=30", headers={"If-None-Match": tag})
    assert moved.status_code == 200  # a slice, a measurement or its progress
    assert moved.headers["ETag"] != tag
    problem(api.get(f"{address}?wait=61"), 422)
    api.post(f"{address}/cancel")
    last = api.get(f"{address}?wait=60")
    assert last.json()["state"] == "cancelled"
    for query in ("", "?wait=1"):
        same = api.get(address + query, headers={"If-None-Match": last.headers["ETag"]})
        assert (same.status_code, same.content) == (304, b"")


def test_moves_and_wrong_states(url: str, api: httpx.Client, endless: dict[str, Any]) -> None:
    address = f"/jobs/{endless['id']}"
    theirs = f"{url}/v1/fine_tuning/jobs/{endless['id'].replace('job-', 'ftjob-')}"
    assert problem(api.delete(address), 409)["state"] == "running"
    assert problem(api.post(f"{address}/resume"), 409)["state"] == "running"
    assert api.post(f"{address}/pause").status_code == 200
    eventually(lambda: state_of(api, endless["id"]) == "paused")
    assert problem(api.post(f"{address}/pause"), 409)["state"] == "paused"
    error = api.post(f"{theirs}/pause")  # these clients would ask again after a 409
    assert (error.status_code, error.json()["error"].keys()) == (
        *(400, {"message", "type", "param", "code"}),
    )
    assert api.post(f"{address}/resume").json()["state"] in ("queued", "running")
    assert api.post(f"{address}/cancel").status_code == 200
    eventually(lambda: state_of(api, endless["id"]) == "cancelled")
    job = api.get(address).json()
    assert (job["result"] or {"stopped": "cancelled"})["stopped"] == "cancelled"
    assert problem(api.post(f"{address}/cancel"), 409)["state"] == "cancelled"


def test_events(api: httpx.Client) -> None:
    job = done(api, TRAIN)
    address = job["links"]["events"].removeprefix("/api/v1")
    page = api.get(address).json()
    assert [event["id"] for event in page["data"]] == sorted(e["id"] for e in page["data"])
    assert {event["type"] for event in page["data"]} >= {"state", "metrics", "slice", "sample"}
    assert all(event["data"]["worker"] for event in page["data"] if event["type"] == "slice")

    def stream(after: object) -> httpx.Response:
        headers = {"Accept": "text/event-stream", "Last-Event-ID": str(after)}
        return api.get(address, headers=headers)

    ids = [event["id"] for event in page["data"]]
    for place, identifier in enumerate(ids[:-1]):
        lines = stream(identifier).text.split("\n")
        assert [int(line[4:]) for line in lines if line[:4] == "id: "] == ids[place + 1 :]
    assert stream(ids[-1]).status_code == 204
    problem(stream("x"), 422)


def test_models(api: httpx.Client) -> None:
    model = done(api, TRAIN | {"name": "before"})["result"]["model"]
    renamed = api.patch(f"/models/{model}", json={"name": f"after/{model}"})
    assert (renamed.status_code, renamed.json()["id"]) == (200, model)
    assert api.get(f"/models/after%2F{model}").json() == api.get(f"/models/{model}").json()
    data = api.get(f"/models/{model}/download").content
    assert set(zipfile.ZipFile(io.BytesIO(data)).namelist()) == set(FILES)
    copy = api.post("/models", files={"file": ("copy.zip", data)})
    assert copy.status_code == 201
    assert copy.headers["Location"] == f"/api/v1/models/{copy.json()['id']}"
    assert api.delete(f"/models/{copy.json()['id']}").status_code == 204
    asked = f"/models/{model}/predict"
    question = {"prompt": "what is capital of atlantis", "sampling": {"temperature": 0}}
    answer = api.post(asked, json=question).json()
    assert answer.keys() >= {"completions", "next_tokens", "prompt_tokens", "model", "seconds"}
    assert answer["completions"][0].keys() >= {"text", "tokens", "finish_reason", "logprob"}
    assert answer["unknown_tokens"] == ["atlantis"]
    assert len(answer["next_tokens"]) == 10
    assert len(api.post(asked, json={"prompts": ["what", "is"]}).json()["results"]) == 2
    stream = api.post(asked, json=question | {"stream": True}).text
    items = [json.loads(line[6:]) for line in stream.split("\n") if line[:6] == "data: "]
    assert items[-1]["result"]["completions"] == answer["completions"]
    wrong = api.post(asked, json={"prompt": "a", "sampling": {"temperature": -1}})
    assert problem(wrong, 422)["errors"][0]["loc"] == ["sampling", "temperature"]
    body = {"kind": "predict", "model": model, **question}
    assert done(api, body)["result"]["completions"] == answer["completions"]
    assert done(api, {"kind": "evaluate", "model": model, "text": TUTORIAL})["result"]["loss"] > 0


def test_what_stands_at_the_root(url: str, api: httpx.Client) -> None:
    for open_to_all in ("/healthz", "/readyz"):
        assert httpx.get(url + open_to_all).status_code == 200
    for path in ("/metrics", "/api/v1/workers", "/api/v1/openapi.json"):
        assert httpx.get(url + path).status_code == 401
        assert api.get(url + path).status_code == 200
    assert api.get(f"{url}/metrics").headers["content-type"].startswith("text/plain")
    for page in ("/", "/jobs", "/models", "/compare", "/workers", "/docs"):
        assert api.get(url + page).headers["content-type"].startswith("text/html"), page
