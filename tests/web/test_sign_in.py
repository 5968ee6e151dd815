"""Sessions of browsers: begun with a key, ended by signing out, by the key's end or by time."""

import re
import time
from collections.abc import Iterator

import pytest
import sqlalchemy as sa
from flask.testing import FlaskClient

from tests.web.answers import TUTORIAL, problem_of
from web import create_app, identity
from worker import database, keys, sessions
from worker.backend import Backend
from worker.settings import Settings

FROM_PAGE = {"Sec-Fetch-Site": "same-origin"}


@pytest.fixture(autouse=True)
def believed_for_a_blink(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(identity, "BELIEVED_SECONDS", 0.05)


@pytest.fixture
def made(backend: Backend) -> tuple[str, str]:
    """Id and token of a member's key."""
    key, token = keys.create(backend, owner="ann")
    return key.id, token


@pytest.fixture
def client(made: tuple[str, str], settings: Settings) -> Iterator[FlaskClient]:
    app = create_app(settings.model_copy(update={"api_keys": {"root": "the admin's"}}))
    yield app.test_client()
    app.extensions["lstmq"].close()


def csrf(client: FlaskClient, path: str = "/sign-in") -> str:
    found = re.search(r'name="csrf_token" value="([^"]+)"', client.get(path).text)
    assert found
    return found[1]


def sign_in(client: FlaskClient, key: str, following: str = "") -> str:
    """Where the form led."""
    body = {"csrf_token": csrf(client), "key": key, "next": following}
    response = client.post("/sign-in", data=body, headers=FROM_PAGE)
    assert response.status_code == 303, response.text
    return response.headers["Location"]


def test_a_page_leads_to_the_form_and_back(client: FlaskClient, made: tuple[str, str]) -> None:
    asked = client.get("/jobs?state=queued")
    assert asked.headers["Location"] == "/sign-in?next=/jobs?state%3Dqueued"
    shown = client.get(asked.headers["Location"])
    assert 'name="next" value="/jobs?state=queued"' in shown.text
    assert sign_in(client, f" {made[1]} ", "/jobs?state=queued") == "/jobs?state=queued"
    page = client.get("/jobs")
    assert page.status_code == 200
    assert ">ann<" in page.text
    assert "Sign out" in page.text
    # with the form's session the pages' scripts ask the API, and change things from pages only
    assert client.get("/api/v1/jobs").status_code == 200
    body = {"text": TUTORIAL}
    assert client.post("/api/v1/datasets", json=body, headers=FROM_PAGE).json["owner"] == "ann"
    problem_of(client.post("/api/v1/datasets", json=body), 403)
    foreign = {"Origin": "https://evil.example"}
    problem_of(client.post("/api/v1/datasets", json=body, headers=foreign), 403)
    assert client.get("/sign-in?next=/models").headers["Location"] == "/models"


def test_a_wrong_key_begins_nothing(client: FlaskClient) -> None:
    for key in ("", "wrong", "lm_000000000000_" + "a" * 43, "x" * 5000, "\0"):
        response = client.post("/sign-in", data={"csrf_token": csrf(client), "key": key})
        assert response.status_code == 401
        assert "not known" in response.text
        assert client.get("/jobs").status_code == 303


def test_the_form_needs_its_token(client: FlaskClient, made: tuple[str, str]) -> None:
    assert client.post("/sign-in", data={"key": made[1]}).status_code == 403
    foreign = {"Origin": "https://evil.example"}
    body = {"csrf_token": csrf(client), "key": made[1]}
    assert client.post("/sign-in", data=body, headers=foreign).status_code == 403
    sign_in(client, made[1])
    assert client.post("/sign-out", data={}, headers=FROM_PAGE).status_code == 403
    assert client.get("/jobs").status_code == 200


def test_signing_out_ends_the_session_itself(client: FlaskClient, made: tuple[str, str]) -> None:
    sign_in(client, made[1])
    stolen = client.get_cookie("lstmq")
    assert stolen
    before = csrf(client, "/jobs")
    out = client.post("/sign-out", data={"csrf_token": before}, headers=FROM_PAGE)
    assert out.headers["Location"] == "/sign-in"
    assert client.get("/jobs").status_code == 303
    thief = client.application.test_client()
    thief.set_cookie("lstmq", stolen.value)
    assert thief.get("/jobs").status_code == 303
    told = problem_of(thief.get("/api/v1/jobs"), 401)
    assert "sign in again" in told["detail"]


def test_a_session_has_a_cookie_and_a_token_of_its_own(
    client: FlaskClient, made: tuple[str, str]
) -> None:
    before = csrf(client)
    sign_in(client, made[1])
    first = client.get_cookie("lstmq")
    assert first
    assert first.http_only
    assert first.same_site == "Lax"
    assert csrf(client, "/jobs") != before
    another = client.application.test_client()
    sign_in(another, made[1])
    second = another.get_cookie("lstmq")
    assert second
    assert second.value != first.value


@pytest.mark.parametrize("way", ["revoked", "expired", "time"])
def test_a_session_ends_with_its_key_or_its_time(
    client: FlaskClient, backend: Backend, made: tuple[str, str], way: str
) -> None:
    sign_in(client, made[1])
    assert client.get("/jobs").status_code == 200
    past = database.now() - 1
    with backend.database.writing() as connection:
        if way == "time":
            connection.execute(sa.update(database.sessions).values(expires_at=past))
        elif way == "expired":
            connection.execute(sa.update(database.keys).values(expires_at=past))
    if way == "revoked":
        keys.revoke(backend, made[0])
    time.sleep(2 * identity.BELIEVED_SECONDS)
    assert client.get("/jobs").status_code == 303


def test_a_session_of_a_configured_key_ends_when_the_key_is_taken_out(
    client: FlaskClient, backend: Backend, settings: Settings
) -> None:
    sign_in(client, "the admin's")
    assert client.get("/api/v1/keys").status_code == 200  # an admin
    cookie = client.get_cookie("lstmq")
    assert cookie
    other = settings.model_copy(update={"api_keys": {"root": "another"}})
    app = create_app(other)
    successor = app.test_client()
    successor.set_cookie("lstmq", cookie.value)
    assert successor.get("/jobs").status_code == 303
    app.extensions["lstmq"].close()


ELSEWHERE = (
    "https://evil.example",
    "//evil.example",
    "/\\evil.example",
    "\\\\evil.example",
    "javascript:alert(1)",
    "/a\r\nSet-Cookie: x=1",
    "evil.example",
    "///evil.example",
    "http:/evil",
)


def test_no_form_leads_to_another_site(client: FlaskClient, made: tuple[str, str]) -> None:
    for address in ELSEWHERE:
        stranger = client.application.test_client()
        assert sign_in(stranger, made[1], address) == "/", address
        again = stranger.get("/sign-in", query_string={"next": address})
        assert again.headers["Location"] == "/", address


def test_without_keys_nobody_signs_in(settings: Settings) -> None:
    app = create_app(settings)
    client = app.test_client()
    assert client.get("/sign-in").headers["Location"] == "/"
    assert "Sign out" not in client.get("/").text
    app.extensions["lstmq"].close()


def test_a_made_up_session_is_nothing(client: FlaskClient, backend: Backend) -> None:
    assert sessions.find(backend, "") is None
    client.set_cookie("lstmq", "eyJzaWduZWRfaW4iOiJ4In0.aaaa.bbbb")
    assert client.get("/jobs").status_code == 303
