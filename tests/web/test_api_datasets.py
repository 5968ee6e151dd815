"""Datasets over HTTP: given in either way, listed, previewed, removed, or refused with a reason."""

import io
import json
from typing import Any

import pytest
from flask import Flask
from flask.testing import FlaskClient

from tests.web.answers import TUTORIAL, problem_of, refused_fields
from web import create_app
from worker.settings import Settings

URL = "/api/v1/datasets"


def upload(client: FlaskClient, data: bytes, filename: str = "lesson.txt", **fields: str) -> Any:
    return client.post(URL, data={"file": (io.BytesIO(data), filename), **fields})


def test_json_and_upload_store_the_same_text(client: FlaskClient) -> None:
    typed = client.post(URL, json={"name": "lesson", "text": TUTORIAL})
    sent = upload(client, TUTORIAL.encode())
    assert (typed.status_code, sent.status_code) == (201, 201)
    assert typed.json["sha256"] == sent.json["sha256"]
    assert (typed.json["object"], typed.json["owner"]) == ("dataset", "local")
    assert (typed.json["name"], sent.json["name"]) == ("lesson", "lesson.txt")
    assert typed.json["created_at"].endswith("Z")
    assert client.get(typed.headers["Location"]).json == typed.json
    assert client.get(sent.json["links"]["self"]).json == sent.json


def test_a_detected_and_a_stated_encoding_give_the_same_text(client: FlaskClient) -> None:
    text = "la mer est belle : très belle\r\noù est l'été : ici\r\n" * 20
    stated = upload(client, text.encode("cp1252"), encoding="cp1252")
    plain = upload(client, text.encode("utf-8"))
    assert stated.json["sha256"] == plain.json["sha256"]


def test_a_path_in_a_filename_is_dropped(client: FlaskClient) -> None:
    for filename in ("../../etc/passwd", r"C:\\texts\\passwd", "/etc/passwd"):
        assert upload(client, TUTORIAL.encode(), filename).json["name"] == "passwd"


@pytest.mark.parametrize(
    "text", ["", "   \n\t\n", "\ufeff", "\n" * 1000], ids=["empty", "blank", "bom", "newlines"]
)
def test_a_text_of_white_space_is_refused(client: FlaskClient, text: str) -> None:
    problem_of(client.post(URL, json={"name": "x", "text": text}), 422)
    problem_of(upload(client, text.encode()), 422)
    assert client.get(URL).json["data"] == []


def test_binary_data_is_refused(client: FlaskClient) -> None:
    problem_of(upload(client, bytes(range(256)) * 10, "photo.txt"), 422)


def test_a_broken_row_is_refused_with_its_line(client: FlaskClient) -> None:
    csv = b"prompt,completion\na,b\nc,d,e\n"
    assert problem_of(upload(client, csv, "facts.csv"), 422)["line"] == 3
    jsonl = b'{"text": "one"}\n{"text": \n'
    assert problem_of(upload(client, jsonl, "facts.jsonl"), 422)["line"] == 2


@pytest.mark.parametrize(
    ("body", "loc"),
    [
        ({"name": "x"}, ["text"]),
        ({"text": 5}, ["text"]),
        ({"text": "a b", "name": None}, ["name"]),
        ({"text": "a b", "colour": "red"}, ["colour"]),
        ({"text": "a b", "layout": "table"}, ["layout"]),
        ({"text": "a b", "name": "x" * 1000}, ["name"]),
        ({"text": "a\0b"}, ["text"]),
        (["text"], []),
        ("text", []),
        (None, []),
    ],
)
def test_refused_values_are_named(client: FlaskClient, body: Any, loc: list[str]) -> None:
    response = client.post(URL, data=json.dumps(body), content_type="application/json")
    assert loc in refused_fields(response)


def test_an_upload_needs_exactly_one_file(client: FlaskClient) -> None:
    file = (io.BytesIO(b"a b c"), "a.txt")
    assert refused_fields(client.post(URL, data={"other": file})) == [["file"]]
    two = [(io.BytesIO(b"a b"), "a.txt"), (io.BytesIO(b"c d"), "b.txt")]
    assert refused_fields(client.post(URL, data={"file": two})) == [["file"]]
    form = client.post(URL, data={"name": "x"}, content_type="multipart/form-data")
    assert refused_fields(form) == [["file"]]
    assert refused_fields(upload(client, b"a b", colour="red")) == [["colour"]]


def test_an_unknown_encoding_is_refused(client: FlaskClient) -> None:
    problem_of(upload(client, b"some words", encoding="klingon"), 422)


def test_an_upload_over_the_limit_is_413_or_422(settings: Settings) -> None:
    small = settings.model_copy(update={"max_upload_bytes": 1000})
    app = create_app(small)
    client = app.test_client()
    assert upload(client, b"word " * 200).status_code == 201
    problem_of(upload(client, b"word " * 201), 422)  # only the file itself is over it
    problem_of(upload(client, b"word " * 100_000), 413)
    assert len(client.get(URL).json["data"]) == 1
    app.extensions["lstmq"].close()


def test_lists_page_through_everything_once(client: FlaskClient) -> None:
    names = [f"text {number}" for number in range(5)]
    for name in names:
        client.post(URL, json={"name": name, "text": TUTORIAL})
    seen: list[str] = []
    query: dict[str, Any] = {"limit": 2}
    while True:
        page = client.get(URL, query_string=query).json
        seen += [item["name"] for item in page["data"]]
        assert page["has_more"] == (page["next"] is not None)
        if not page["has_more"]:
            break
        query["after"] = page["next"]
    assert seen == names[::-1]
    assert [item["name"] for item in client.get(f"{URL}?name=T+3").json["data"]] == ["text 3"]


@pytest.mark.parametrize(
    "query", ["limit=0", "limit=101", "limit=x", "after=data-1", "limit=1&limit=2", "colour=red"]
)
def test_a_wrong_query_is_refused(client: FlaskClient, query: str) -> None:
    assert refused_fields(client.get(f"{URL}?{query}")) == [[query.partition("=")[0]]]


def test_a_dataset_can_be_removed_unless_a_job_needs_it(
    client: FlaskClient, dataset: str, job: dict[str, Any]
) -> None:
    assert problem_of(client.delete(f"{URL}/{dataset}"), 409)["state"]
    client.post(f"/api/v1/jobs/{job['id']}/cancel")
    assert client.delete(f"{URL}/{dataset}").status_code == 204
    problem_of(client.get(f"{URL}/{dataset}"), 404)
    problem_of(client.delete(f"{URL}/{dataset}"), 404)


def test_a_preview_shows_what_a_model_would_see(client: FlaskClient, dataset: str) -> None:
    for level in ("char", "word"):
        seen = client.get(f"{URL}/{dataset}/preview?level={level}").json
        for line in seen["lines"]:
            assert line.keys() >= {"text", "tokens", "ids"}
            assert len(line["tokens"]) == len(line["ids"])
        assert seen["estimate"]["parameters"] > 0
    small = {"model": {"hidden_dim": 8}}
    estimated = client.get(f"{URL}/{dataset}/preview", query_string={"config": json.dumps(small)})
    default = client.get(f"{URL}/{dataset}/preview")
    smaller, usual = (r.json["estimate"]["parameters"] for r in (estimated, default))
    assert smaller < usual


@pytest.mark.parametrize(
    ("query", "loc"),
    [
        ({"level": "sentence"}, ["level"]),
        ({"config": "{"}, ["config"]),
        ({"config": "[1]"}, ["config"]),
        ({"config": "[" * 5000}, ["config"]),
        ({"config": '{"model": {"hidden_dim": -1}}'}, ["config", "model", "hidden_dim"]),
        ({"config": '{"modell": {}}'}, ["config", "modell"]),
    ],
)
def test_a_wrong_preview_is_refused(
    client: FlaskClient, dataset: str, query: dict[str, str], loc: list[str]
) -> None:
    assert loc in refused_fields(client.get(f"{URL}/{dataset}/preview", query_string=query))


def test_an_unknown_dataset_is_404(client: FlaskClient, app: Flask) -> None:
    for address in (f"{URL}/data-1", f"{URL}/data-1/preview", f"{URL}/%00", f"{URL}/..%2f..%2fx"):
        problem_of(client.get(address), 404)
