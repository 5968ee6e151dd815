"""What protects the service in a browser: host names, foreign pages, forms, headers, cookies."""

import stat
from pathlib import Path

import pytest
from flask import Flask, render_template_string
from flask.testing import FlaskClient

from tests.web.answers import TUTORIAL, problem_of
from web import create_app
from web.security import HEADERS, check_csrf
from worker.settings import Settings

URL = "/api/v1/datasets"
BODY = {"text": TUTORIAL}


@pytest.mark.parametrize(
    "host",
    [
        "localhost",
        "LOCALHOST:8000",
        "localhost:8000",
        "127.0.0.1",
        "127.0.0.1:49152",
        "127.1.2.3",
        "[::1]:8000",
        "lstmq.localhost:8000",
    ],
)
def test_loopback_names_are_answered(client: FlaskClient, host: str) -> None:
    assert client.get(URL, headers={"Host": host}).status_code == 200


@pytest.mark.parametrize(
    "host",
    [
        "evil.example",
        "evil.example:8000",
        "localhost.evil.example",
        "127.0.0.1.evil.example",
        "127.0.0.1@evil.example",
        "evil.example#localhost",
        "0.0.0.0",  # noqa: S104
        "10.0.0.1",
        "[::",
        "local host",
        "",
    ],
)
def test_a_foreign_name_finds_nothing_without_keys(client: FlaskClient, host: str) -> None:
    for method in ("GET", "POST", "DELETE", "OPTIONS"):
        response = client.open(URL, method=method, headers={"Host": host})
        assert "LSTMQ_API_KEYS" in problem_of(response, 421)["detail"]
    assert client.get("/jobs", headers={"Host": host}).status_code == 421
    assert client.get("/healthz", headers={"Host": host}).status_code == 200


def test_with_keys_any_name_is_answered(settings: Settings) -> None:
    app = create_app(settings.model_copy(update={"api_keys": {"alice": "key"}}))
    headers = {"Host": "lstmq.example", "Authorization": "Bearer key"}
    assert app.test_client().get(URL, headers=headers).status_code == 200
    app.extensions["lstmq"].close()


@pytest.mark.parametrize(
    "headers",
    [
        {},
        {"Sec-Fetch-Site": "same-origin"},
        {"Sec-Fetch-Site": "none"},
        {"Origin": "http://localhost"},
        {"Origin": "http://localhost", "Sec-Fetch-Site": "same-origin"},
        {"Origin": "http://localhost:8000", "Host": "localhost:8000"},
    ],
)
def test_own_pages_and_programs_may_write(client: FlaskClient, headers: dict[str, str]) -> None:
    assert client.post(URL, json=BODY, headers=headers).status_code == 201


@pytest.mark.parametrize(
    "headers",
    [
        {"Sec-Fetch-Site": "cross-site"},
        {"Sec-Fetch-Site": "same-site"},
        {"Sec-Fetch-Site": "cross-site", "Origin": "http://localhost"},
        {"Origin": "http://evil.example"},
        {"Origin": "http://localhost:3000"},
        {"Origin": "http://localhost.evil.example"},
        {"Origin": "null"},
        {"Origin": ""},
        {"Origin": "http://[::"},
    ],
)
def test_foreign_pages_may_not_write(client: FlaskClient, headers: dict[str, str]) -> None:
    problem_of(client.post(URL, json=BODY, headers=headers), 403)
    for method in ("DELETE", "PATCH", "PUT"):
        problem_of(client.open(f"{URL}/x", method=method, headers=headers), 403)
    assert client.post("/", data=BODY, headers=headers).status_code == 403
    assert client.get(URL, headers=headers).json["data"] == []


@pytest.fixture
def form(app: Flask) -> FlaskClient:
    """A page with a form and one that accepts it."""

    def show() -> str:
        return render_template_string("{{ csrf_token() }}")

    def accept() -> str:
        check_csrf()
        return "done"

    app.add_url_rule("/form", view_func=show)
    app.add_url_rule("/form", view_func=accept, methods=["POST"])
    return app.test_client()


def test_a_form_needs_the_token_of_its_session(form: FlaskClient, app: Flask) -> None:
    token = form.get("/form").text
    assert form.get("/form").text == token
    assert form.post("/form", data={"csrf_token": token}).text == "done"
    assert form.post("/form", headers={"X-CSRF-Token": token}).text == "done"
    for wrong in ({}, {"csrf_token": ""}, {"csrf_token": token + "x"}, {"csrf_token": "ü"}):
        assert form.post("/form", data=wrong).status_code == 403
    stranger = app.test_client()
    assert stranger.post("/form", data={"csrf_token": token}).status_code == 403
    assert stranger.post("/form", data={"csrf_token": ""}).status_code == 403
    assert stranger.get("/form").text != token


def test_the_cookie_is_kept_from_scripts_and_other_sites(form: FlaskClient) -> None:
    cookie = form.get("/form").headers["Set-Cookie"]
    assert "HttpOnly" in cookie
    assert "SameSite=Lax" in cookie
    assert "Secure" not in cookie
    over_tls = form.application.test_client().get("/form", base_url="https://localhost")
    assert "Secure" in over_tls.headers["Set-Cookie"]


def test_the_api_sets_no_cookie(client: FlaskClient) -> None:
    assert "Set-Cookie" not in client.post(URL, json=BODY).headers


@pytest.mark.parametrize("path", ["/", "/jobs", URL, "/api/v1/nothing", "/healthz", "/nothing"])
def test_every_answer_carries_the_headers(client: FlaskClient, path: str) -> None:
    response = client.get(path)
    for name in HEADERS:
        assert response.headers.getlist(name), name
        assert len(response.headers.getlist(name)) == 1
    assert "unsafe" not in response.headers["Content-Security-Policy"]
    assert response.headers["X-Content-Type-Options"] == "nosniff"
    assert "Access-Control-Allow-Origin" not in response.headers


def test_the_secret_is_made_once_and_kept_private(settings: Settings) -> None:
    first, second = create_app(settings), create_app(settings)
    assert first.secret_key == second.secret_key
    assert len(str(first.secret_key)) >= 32
    kept: Path = settings.data_dir / "secret_key"
    assert stat.S_IMODE(kept.stat().st_mode) == 0o600
    assert [path.name for path in settings.data_dir.glob("secret_key*")] == ["secret_key"]
    given = create_app(settings.model_copy(update={"secret_key": "given"}))
    assert given.secret_key == "given"
    for app in (first, second, given):
        app.extensions["lstmq"].close()


@pytest.mark.parametrize("peer", ["10.1.2.3", "192.168.0.9", "2001:db8::1"])
def test_without_keys_only_this_machine_is_let_in(client: FlaskClient, peer: str) -> None:
    given = {"REMOTE_ADDR": peer}
    headers = {"Host": "localhost"}
    refused = client.get("/api/v1/jobs", environ_overrides=given, headers=headers)
    assert refused.status_code == 403
    assert "LSTMQ_API_KEYS" in refused.json["detail"]


@pytest.mark.parametrize("peer", ["127.0.0.1", "::1", "127.8.8.8"])
def test_this_machine_is_let_in_by_every_name(client: FlaskClient, peer: str) -> None:
    answer = client.get("/api/v1/jobs", environ_overrides={"REMOTE_ADDR": peer})
    assert answer.status_code == 200
