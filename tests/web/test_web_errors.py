"""Bodies that cannot be read, methods and paths that are not there, and faults of our own."""

import io
from typing import Any

import pytest
from flask import Flask
from flask.testing import FlaskClient

from tests.web.answers import TUTORIAL, problem_of
from web import create_app
from web.errors import KINDS, describe
from worker.errors import LeaseLost, StoreError
from worker.settings import Settings

URL = "/api/v1/datasets"
JSON = "application/json"
DEEP = 100_000


@pytest.mark.parametrize(
    "body",
    [
        b"",
        b"{",
        b'{"text": "a b"} trailing',
        b"{'text': 1}",
        b'{"text": NaN}',
        b'{"text": Infinity}',
        b'{"text": -Infinity}',
        b'{"text": "\xff"}',
        b'{"text": "a"}\x00',
        b'{"text": "a b", "text": "c d"}',
        b'{"text": ' + b"9" * 5000 + b"}",
        b"[" * DEEP,
        b"[" * DEEP + b"]" * DEEP,
        b'{"a":' * DEEP + b"1" + b"}" * DEEP,
        b"[" * 100 + b"]" * 100,
        '{"text": "a b"}'.encode("utf-16"),
    ],
)
def test_an_unreadable_body_is_400(client: FlaskClient, body: bytes) -> None:
    problem_of(client.post(URL, data=body, content_type=JSON), 400)


def test_a_byte_order_mark_and_json_dialects_are_fine(client: FlaskClient) -> None:
    body = b'\xef\xbb\xbf{"text": "a b c"}'
    for kind in (JSON, "application/json; charset=utf-8", "application/merge-patch+json"):
        assert client.post(URL, data=body, content_type=kind).status_code == 201


@pytest.mark.parametrize(
    "kind", [None, "text/plain", "application/x-www-form-urlencoded", "text/json", "nonsense"]
)
def test_another_content_type_is_415(client: FlaskClient, kind: str | None) -> None:
    problem_of(client.post(URL, data=b'{"text": "a b"}', content_type=kind), 415)
    problem_of(client.post("/api/v1/jobs", data=b"{}", content_type=kind), 415)


def test_a_body_over_the_limit_is_413_and_says_the_limit(settings: Settings) -> None:
    app = create_app(settings.model_copy(update={"max_body_bytes": 2000}))
    client = app.test_client()
    problem = problem_of(client.post(URL, json={"text": "word " * 1000}), 413)
    assert "2,000" in problem["detail"]
    assert client.post(URL, json={"text": "word " * 100}).status_code == 201
    app.extensions["lstmq"].close()


@pytest.mark.parametrize("kind", [JSON, "multipart/form-data; boundary=x"])
def test_a_body_that_does_not_say_its_length_is_limited_too(settings: Settings, kind: str) -> None:
    small = {"max_body_bytes": 2000, "max_upload_bytes": 2000}
    app = create_app(settings.model_copy(update=small))
    body = b'--x\r\nContent-Disposition: form-data; name="file"; filename="a"\r\n\r\n'
    if kind == JSON:
        body = b'{"text": "'
    # Chunked encoding, as gunicorn hands it over.
    response = app.test_client().post(
        URL,
        input_stream=io.BytesIO(body + b"word " * 100_000),
        environ_overrides={"wsgi.input_terminated": True},
        content_type=kind,
    )
    problem_of(response, 413)
    app.extensions["lstmq"].close()


def test_many_form_parts_are_refused(client: FlaskClient) -> None:
    part = '--x\r\nContent-Disposition: form-data; name="a"\r\n\r\nb\r\n'
    body = (part * 5000 + "--x--\r\n").encode()
    kind = "multipart/form-data; boundary=x"
    problem_of(client.post(URL, data=body, content_type=kind), 413)


@pytest.mark.parametrize("path", ["/api/v1/", "/api/v1/nothing", "/api/v2/jobs", "/api/"])
def test_an_unknown_path_is_404(client: FlaskClient, path: str) -> None:
    problem_of(client.get(path), 404)
    problem_of(client.post(path), 404)


def test_another_method_is_405_and_says_which_are_allowed(client: FlaskClient) -> None:
    response = client.put(URL)
    problem_of(response, 405)
    assert {"GET", "POST"} <= set(response.headers["Allow"].split(", "))


def test_a_fault_of_ours_says_nothing_of_itself(
    app: Flask, client: FlaskClient, caplog: pytest.LogCaptureFixture
) -> None:
    def break_down() -> None:
        raise RuntimeError("the secret is 1234")

    app.add_url_rule("/api/v1/broken", view_func=break_down)
    app.add_url_rule("/broken", view_func=break_down)
    problem_of(client.get("/api/v1/broken"), 500)
    page = client.get("/broken")
    assert (page.status_code, page.mimetype) == (500, "text/html")
    for text in (page.text, client.get("/api/v1/broken").text):
        assert "1234" not in text
        assert "Traceback" not in text
    assert "the secret is 1234" in caplog.text  # but whoever runs it can find it


@pytest.mark.parametrize(
    "error", [StoreError("/var/secret"), LeaseLost("secret"), KeyError("secret")]
)
def test_internal_errors_are_500_without_their_text(error: Exception) -> None:
    problem = describe(error)
    assert problem.status == 500
    assert "secret" not in problem.detail


def test_every_kind_has_a_status_and_a_type_of_its_own() -> None:
    for kind, status, slug, title in KINDS:
        assert issubclass(kind, Exception)
        assert 400 <= status < 600
        assert slug == slug.lower()
        assert title


def test_errors_of_pages_are_pages(client: FlaskClient) -> None:
    response = client.get("/nothing/here")
    assert (response.status_code, response.mimetype) == (404, "text/html")


@pytest.mark.parametrize(
    "trick",
    [
        "../../etc/passwd",
        "..%2f..%2fetc%2fpasswd",
        "%2e%2e%2fx",
        "%252e%252e%252f",
        r"..\..\x",
        "C:/x",
        "%23/../x",
        "a%0d%0aSet-Cookie:x",
        "%00",
        "x" * 5000,
        "%EF%BC%8F",
        "%ff%fe",
        "';drop table jobs;--",
    ],
)
def test_no_id_reaches_anything_but_the_records(
    client: FlaskClient, trick: str, dataset: str
) -> None:
    for path in ("datasets", "jobs", "models"):
        for tail in ("", "/preview", "/events", "/download"):
            assert client.get(f"/api/v1/{path}/{trick}{tail}").status_code == 404
    assert client.get(f"{URL}/{dataset}").status_code == 200


def test_odd_but_fine_texts_come_back_unharmed(client: FlaskClient) -> None:
    name = "<script>alert(1)</script> 麦 \N{WAVING HAND SIGN}"
    response = client.post(URL, json={"name": name, "text": TUTORIAL})
    assert response.json["name"] == name
    assert response.mimetype == "application/json"
    found: list[dict[str, Any]] = client.get(URL, query_string={"name": "<script>"}).json["data"]
    assert len(found) == 1
