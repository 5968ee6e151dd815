"""Who asked to be told of a job's end is told: signed, again after failures, and nobody else."""

import hashlib
import hmac
import json
import threading
from base64 import b64decode, b64encode
from collections.abc import Iterator
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any

import pytest
import redis
import sqlalchemy as sa
from flask.testing import FlaskClient

from tests.web.answers import problem_of, refused_fields
from worker import database, delivery, webhooks
from worker.backend import Backend
from worker.settings import Settings

URL = "/api/v1/webhooks"


class Receiver:
    """A web server that keeps what it is sent and answers as it is told."""

    def __init__(self) -> None:
        self.requests: list[tuple[dict[str, str], bytes]] = []
        self.status = 204
        receiver = self

        class Handler(BaseHTTPRequestHandler):
            def do_POST(self) -> None:
                body = self.rfile.read(int(self.headers["Content-Length"]))
                receiver.requests.append((dict(self.headers), body))
                self.send_response(receiver.status)
                self.send_header("Location", "/elsewhere")
                self.end_headers()

            def log_message(self, *_: Any) -> None:
                pass

        self.server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
        self.url = f"http://localhost:{self.server.server_port}/hook?a=b"
        self.thread = threading.Thread(target=self.server.serve_forever)
        self.thread.start()

    def close(self) -> None:
        self.server.shutdown()
        self.thread.join()
        self.server.server_close()


@pytest.fixture
def receiver() -> Iterator[Receiver]:
    running = Receiver()
    yield running
    running.close()


@pytest.fixture
def settings(settings: Settings) -> Settings:
    return settings.model_copy(update={"webhook_private_networks": True})


def due_now(backend: Backend) -> None:
    """As if the time of the next attempt had come."""
    table = database.deliveries
    waits = table.c.due_at.is_not(None)
    with backend.database.writing() as connection:
        connection.execute(sa.update(table).where(waits).values(due_at=0.0))


def told(client: FlaskClient, hook: str) -> list[dict[str, Any]]:
    data: list[dict[str, Any]] = client.get(f"{URL}/{hook}/deliveries").json["data"]
    return data


def test_the_end_of_a_job_is_told_once_and_signed(
    client: FlaskClient, backend: Backend, receiver: Receiver, job: dict[str, Any]
) -> None:
    made = client.post(URL, json={"url": receiver.url})
    assert made.status_code == 201
    assert "secret" not in client.get(f"{URL}/{made.json['id']}").json
    client.post(f"/api/v1/jobs/{job['id']}/cancel")
    with redis.Redis.from_url(backend.settings.effective_redis_url) as queue:
        queue.flushall()  # nothing of it is there
    assert delivery.send_due(backend) == 1
    assert delivery.send_due(backend) == 0
    ((headers, body),) = receiver.requests
    event = json.loads(body)
    assert event["type"] == "fine_tuning.job.cancelled"
    assert event["data"]["id"] == job["id"].replace("job-", "ftjob-")
    assert event["data"]["job"] == job["id"]
    signed = f"{headers['webhook-id']}.{headers['webhook-timestamp']}.".encode() + body
    key = b64decode(made.json["secret"].removeprefix("whsec_"))
    expected = b64encode(hmac.new(key, signed, hashlib.sha256).digest()).decode()
    assert headers["webhook-signature"] == f"v1,{expected}"
    (one,) = told(client, made.json["id"])
    assert (one["state"], one["attempts"], one["id"]) == ("delivered", 1, event["id"])


@pytest.mark.parametrize("status", [500, 302, 404])
def test_what_is_not_taken_is_tried_again_and_given_up_with_the_reason(
    client: FlaskClient, backend: Backend, receiver: Receiver, status: int
) -> None:
    hook = client.post(URL, json={"url": receiver.url}).json["id"]
    assert client.post(f"{URL}/{hook}/test").status_code == 202
    receiver.status = status
    delivery.send_due(backend)
    (waiting,) = told(client, hook)
    assert waiting["state"] == "waiting"
    assert str(status) in waiting["problem"]
    assert delivery.send_due(backend) == 0  # not before its time
    for _ in delivery.BACK_OFF:
        due_now(backend)
        delivery.send_due(backend)
    (failed,) = told(client, hook)
    assert (failed["state"], failed["attempts"]) == ("failed", len(delivery.BACK_OFF) + 1)
    assert "given up" in failed["problem"]
    assert len({headers["webhook-id"] for headers, _ in receiver.requests}) == 1
    # Redirects are not followed.
    assert len(receiver.requests) == len(delivery.BACK_OFF) + 1


def test_a_sender_that_is_killed_loses_nothing(
    client: FlaskClient, backend: Backend, receiver: Receiver
) -> None:
    hook = client.post(URL, json={"url": receiver.url}).json["id"]
    client.post(f"{URL}/{hook}/test")
    assert len(delivery._claim(backend)) == 1  # and then it was killed
    assert delivery._claim(backend) == []  # nobody else sends it meanwhile
    due_now(backend)
    delivery.send_due(backend)
    assert [one["state"] for one in told(client, hook)] == ["delivered"]


def test_messages_of_others_and_of_deleted_webhooks_go_nowhere(
    client: FlaskClient, backend: Backend, receiver: Receiver, job: dict[str, Any]
) -> None:
    webhooks.create(backend, "somebody else", receiver.url)
    hook = client.post(URL, json={"url": receiver.url}).json["id"]
    client.post(f"/api/v1/jobs/{job['id']}/cancel")
    assert client.delete(f"{URL}/{hook}").status_code == 204
    assert delivery.send_due(backend) == 0
    for method in ("get", "delete"):
        problem_of(getattr(client, method)(f"{URL}/{hook}"), 404)
    problem_of(client.post(f"{URL}/{hook}/test"), 404)
    problem_of(client.get(f"{URL}/{hook}/deliveries"), 404)


@pytest.mark.parametrize(
    "host",
    [
        *("127.0.0.1", "localhost", "10.1.2.3", "169.254.169.254", "192.168.0.1", "0"),
        *("[::1]", "[::ffff:127.0.0.1]", "[fd00::1]", "[64:ff9b::7f00:1]", "[2002:7f00:1::]"),
        *("224.0.0.1", "127.1", "2130706433", "nothing.invalid"),
    ],
)
def test_private_networks_are_out_of_reach(host: str) -> None:
    with pytest.raises(delivery.Refused):
        delivery.resolve(host.strip("[]"), 80, private=False)


def test_the_checked_address_is_the_one_connected_to(
    receiver: Receiver, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A name that has another address at the second look is asked for once only."""
    answers = iter([[(2, 1, 6, "", ("127.0.0.1", 0))]])
    real = delivery.socket.getaddrinfo

    def changing(host: str, *rest: Any, **more: Any) -> Any:
        return next(answers) if host == "changing.test" else real(host, *rest, **more)

    monkeypatch.setattr(delivery.socket, "getaddrinfo", changing)
    url = receiver.url.replace("localhost", "changing.test")
    secret = "whsec_" + b64encode(b"x" * 32).decode()
    delivery.post(delivery.Message("msg-1", url, secret, "{}", 1), private=True)
    ((headers, _),) = receiver.requests
    assert headers["Host"].startswith("changing.test:")


@pytest.mark.parametrize(
    "url",
    [
        *("", "example.com", "ftp://example.com", "http://", "http://user:pw@example.com"),
        *("http://example.com:0", "http://example.com:99999", "http://[::1", "http://a b"),
        *("http://" + "a" * 3000, "javascript:alert(1)", "http://exämple.com"),
    ],
)
def test_addresses_that_are_none_are_refused(client: FlaskClient, url: str) -> None:
    assert refused_fields(client.post(URL, json={"url": url})) == [["url"]]


def test_there_is_a_limit(client: FlaskClient) -> None:
    for _ in range(webhooks.MOST_WEBHOOKS):
        assert client.post(URL, json={"url": "https://example.com"}).status_code == 201
    problem_of(client.post(URL, json={"url": "https://example.com"}), 429)
