"""Slow clients and dropped connections take no thread, connection or place for long.

Against the real server with the settings of the service, only less patient.
"""

import json
import os
import socket
import struct
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator
from contextlib import ExitStack, closing
from pathlib import Path

import httpx
import pytest

from tests.processes import PATIENCE_SECONDS, eventually
from tests.web.answers import TUTORIAL
from web.places import PLACES, THREADS

pytestmark = pytest.mark.slow  # `make test-hostile` runs them

ROOT = Path(__file__).parents[2]
HOST = "127.0.0.1"
HELD = {"01", "08"}  # established; closed by the client and not yet by us


class Server:
    """A running web server."""

    def __init__(self, process: "subprocess.Popen[bytes]", port: int) -> None:
        self.process, self.port = process, port
        self.url = f"http://{HOST}:{port}"

    def connections(self) -> int:
        """How many connections of clients it holds, as the kernel counts them (Linux only)."""
        rows = Path("/proc/net/tcp").read_text().splitlines()[1:]
        fields = [row.split() for row in rows]
        ours = f"{self.port:04X}"
        return sum(row[1].endswith(f":{ours}") and row[3] in HELD for row in fields)

    def connect(self, data: bytes = b"") -> socket.socket:
        client = socket.create_connection((HOST, self.port), timeout=PATIENCE_SECONDS)
        client.sendall(data)
        return client

    def answers(self) -> bool:
        """Whether somebody else is served meanwhile."""
        return httpx.get(f"{self.url}/healthz", timeout=10).status_code == 200


@pytest.fixture(scope="module")
def server(redis_server: str) -> Iterator[Server]:
    clean = {name: value for name, value in os.environ.items() if name[:6] != "LSTMQ_"}
    with socket.create_server((HOST, 0)) as listener, tempfile.TemporaryDirectory() as folder:
        number, port = listener.fileno(), listener.getsockname()[1]
        command = [sys.executable, "-m", "gunicorn", "-c", "python:tests.web.impatient_conf"]
        process = subprocess.Popen(
            [*command, "--bind", f"fd://{number}", "web:create_app()"],
            cwd=ROOT,
            env={**clean, "LSTMQ_DATA_DIR": folder, "LSTMQ_REDIS_URL": redis_server},
            pass_fds=[number],
        )
        running = Server(process, port)
        try:
            eventually(lambda: _answers(running))
            yield running
        finally:
            process.terminate()
            process.wait(timeout=PATIENCE_SECONDS)


def _answers(server: Server) -> bool:
    try:
        return server.answers()
    except httpx.HTTPError:
        return False


def read_all(client: socket.socket) -> bytes:
    """Whatever comes until the server closes."""
    pieces = []
    try:
        while piece := client.recv(65536):
            pieces.append(piece)
    except ConnectionError:
        pass
    return b"".join(pieces)


@pytest.mark.parametrize(
    "sent",
    [b"", b"G", b"GET / HTTP/1.1\r\nHost: localhost\r\nX-Slow: "],
    ids=["silent", "one byte", "half a head"],
)
def test_more_unfinished_requests_than_threads_stop_nobody(server: Server, sent: bytes) -> None:
    with ExitStack() as stack:
        clients = [stack.enter_context(closing(server.connect(sent))) for _ in range(2 * THREADS)]
        assert server.answers()
        for client in clients:
            assert read_all(client) == b""  # closed by the server, in time
    eventually(lambda: server.connections() == 0)


def test_a_head_that_trickles_in_is_given_up(server: Server) -> None:
    with closing(server.connect(b"GET / HTTP/1.1\r\nHost: localhost\r\n")) as client:
        began = time.monotonic()
        try:
            while time.monotonic() - began < PATIENCE_SECONDS:
                client.sendall(b"X-A: b\r\n")
                time.sleep(0.2)
        except ConnectionError:
            return
    pytest.fail("it was never closed")


def test_bodies_that_do_not_come_stop_nobody(server: Server) -> None:
    head = (
        "POST /api/v1/datasets HTTP/1.1\r\nHost: localhost\r\n"
        "Content-Type: application/json\r\nContent-Length: {}\r\n\r\n{{"
    )
    with ExitStack() as stack:
        for length in (100, 2_000_000):
            request = head.format(length).encode()
            clients = [
                stack.enter_context(closing(server.connect(request))) for _ in range(2 * THREADS)
            ]
            assert server.answers()
            statuses = {read_all(client)[9:12] for client in clients}
            # those given up get a 400; large ones beyond the places are told to come again
            assert statuses <= {b"400", b"503"}
            assert b"400" in statuses
            assert (b"503" in statuses) == (length > 1_000_000)
    eventually(lambda: server.connections() == 0)


def test_clients_that_never_close_their_end_hold_up_nobody(server: Server) -> None:
    request = b"GET /healthz HTTP/1.1\r\nHost: localhost\r\nConnection: close\r\n\r\n"
    with ExitStack() as stack:
        for _ in range(50):
            client = stack.enter_context(closing(server.connect(request)))
            assert client.recv(12) == b"HTTP/1.1 200"
        assert server.answers()
        eventually(lambda: server.connections() == 0)


def test_answers_that_nobody_reads_are_given_up(server: Server) -> None:
    """Far more than fits into the buffers between."""
    request = b"GET /static/vendor/uplot/uPlot.iife.min.js HTTP/1.1\r\nHost: localhost\r\n\r\n"
    with ExitStack() as stack:
        for _ in range(20):
            client = stack.enter_context(closing(socket.socket()))
            client.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 4096)
            client.connect((HOST, server.port))
            client.settimeout(PATIENCE_SECONDS)
            client.sendall(request * 200)
        assert server.answers()
        eventually(lambda: server.connections() == 0)


def test_streams_of_browsers_that_went_away_make_room(server: Server) -> None:
    body = {"kind": "train", "text": TUTORIAL, "config": {"preset": "tutorial"}}
    job = httpx.post(f"{server.url}/api/v1/jobs", json=body).json()["id"]
    request = (
        f"GET /api/v1/jobs/{job}/events HTTP/1.1\r\nHost: localhost\r\n"
        "Accept: text/event-stream\r\n\r\n"
    ).encode()
    for _ in range(3):
        # places come free as the server finds out that nobody reads any more
        clients = [_streaming(server, request) for _ in range(PLACES["stream"])]
        with closing(server.connect(request)) as late:
            assert late.recv(12) == b"HTTP/1.1 503"
        assert server.answers()
        for client in clients:
            client.close()
    eventually(lambda: server.connections() == 0)
    job = httpx.get(f"{server.url}/api/v1/jobs/{job}").json()
    assert job["state"] == "queued"


def _streaming(server: Server, request: bytes) -> socket.socket:
    deadline = time.monotonic() + PATIENCE_SECONDS
    while True:
        client = server.connect(request)
        if client.recv(12) == b"HTTP/1.1 200":
            return client
        client.close()
        assert time.monotonic() < deadline
        time.sleep(0.05)


def test_waiting_polls_are_bounded_and_leave_room(server: Server) -> None:
    body = {"kind": "train", "text": TUTORIAL, "config": {"preset": "tutorial"}}
    job = httpx.post(f"{server.url}/api/v1/jobs", json=body).json()["id"]
    request = f"GET /api/v1/jobs/{job}?wait=60 HTTP/1.1\r\nHost: localhost\r\n\r\n".encode()
    with ExitStack() as stack:
        for _ in range(PLACES["poll"]):
            stack.enter_context(closing(server.connect(request)))

        def full() -> bool:
            with closing(server.connect(request)) as late:
                late.settimeout(0.5)
                try:
                    return late.recv(12) == b"HTTP/1.1 503"
                except TimeoutError:
                    return False

        eventually(full)
        assert server.answers()
        # a submit that would wait is accepted and answered at once
        headers = {"Prefer": "wait=60"}
        accepted = httpx.post(f"{server.url}/api/v1/jobs", json=body, headers=headers, timeout=30)
        assert accepted.status_code == 202
        assert "Preference-Applied" not in accepted.headers
        httpx.post(f"{server.url}/api/v1/jobs/{job}/cancel").raise_for_status()


def test_connections_that_drop_leave_nothing(server: Server) -> None:
    """Half an upload, a submit nobody waits for any more, polls and answers nobody takes."""
    pid = server.process.pid
    (worker,) = Path(f"/proc/{pid}/task/{pid}/children").read_text().split()

    def counted() -> tuple[int, int, int]:
        files = len(list(Path(f"/proc/{worker}/fd").iterdir()))
        lists = [
            httpx.get(f"{server.url}/api/v1/{name}?limit=100") for name in ("datasets", "jobs")
        ]
        datasets, jobs = (len(answer.json()["data"]) for answer in lists)
        return files, datasets, jobs

    body = {"kind": "train", "text": TUTORIAL, "config": {"preset": "tutorial"}}
    once = {"Idempotency-Key": "dropped"}
    job = httpx.post(f"{server.url}/api/v1/jobs", json=body, headers=once).json()["id"]
    before = counted()
    form = b'--x\r\nContent-Disposition: form-data; name="file"; filename="a.txt"\r\n\r\n'
    submit = json.dumps(body).encode()
    requests = {
        "POST /api/v1/datasets": form + b"a b c d\n" * 100_000,
        "POST /api/v1/models": form + b"PK\x03\x04" * 100_000,
        "POST /api/v1/jobs": submit,
        f"GET /api/v1/jobs/{job}?wait=60": b"",
        f"GET /api/v1/jobs/{job}/events": b"",
        "GET /static/vendor/uplot/uPlot.iife.min.js": b"",
    }
    for line, sent in requests.items():
        kind = "application/json" if sent is submit else "multipart/form-data; boundary=x"
        length = len(sent) + (0 if sent is submit or not sent else 1_000_000)
        head = (
            f"{line} HTTP/1.1\r\nHost: localhost\r\nAccept: text/event-stream\r\n"
            f"Idempotency-Key: dropped\r\nPrefer: wait=60\r\n"
            f"Content-Type: {kind}\r\nContent-Length: {length}\r\n\r\n"
        )
        for _ in range(12):
            client = server.connect(head.encode() + sent)
            # Gone at once, without a good-bye.
            client.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
            client.close()
    assert server.answers()
    httpx.post(f"{server.url}/api/v1/jobs/{job}/cancel").raise_for_status()  # nobody polls any more
    eventually(lambda: server.connections() == 0)
    eventually(lambda: counted()[1:] == before[1:])
    # Connections to the records are kept for later, as many as were needed at once.
    eventually(lambda: counted()[0] <= before[0] + 60)
    address = f"{server.url}/api/v1/jobs/{job}?wait=1"
    with ExitStack() as stack:  # every place is free again
        get = f"GET {address.removeprefix(server.url)} HTTP/1.1\r\nHost: localhost\r\n\r\n"
        for _ in range(PLACES["poll"]):
            client = stack.enter_context(closing(server.connect(get.encode())))
            assert client.recv(12) == b"HTTP/1.1 200"


def test_requests_one_after_the_other_and_at_once(server: Server) -> None:
    request = b"GET /healthz HTTP/1.1\r\nHost: localhost\r\n\r\n"
    last = request.replace(b"\r\n\r\n", b"\r\nConnection: close\r\n\r\n")
    with closing(server.connect(request * 3 + request[:20])) as client:
        time.sleep(0.3)
        client.sendall(request[20:] + last)
        assert read_all(client).count(b"200 OK") == 5
    post = b'{"text": "a b c"}'
    head = (
        b"POST /api/v1/datasets HTTP/1.1\r\nHost: localhost\r\nContent-Type: application/json\r\n"
    )
    sent = head + b"Content-Length: %d\r\nConnection: close\r\n\r\n" % len(post)
    with closing(server.connect(sent[:50])) as client:
        for piece in (sent[50:120], sent[120:] + post[:5], post[5:]):
            time.sleep(0.1)
            client.sendall(piece)
        answer = read_all(client)
    assert b"201 CREATED" in answer
    assert json.loads(answer.partition(b"\r\n\r\n")[2])["bytes"]


def test_a_large_upload_stays_out_of_the_servers_memory(server: Server) -> None:
    pid = server.process.pid
    (worker,) = Path(f"/proc/{pid}/task/{pid}/children").read_text().split()

    def peak_mebibytes() -> float:
        status = Path(f"/proc/{worker}/status").read_text()
        return int(status.partition("VmHWM:")[2].split()[0]) / 1024

    # as large as is taken; the first is small, to have everything loaded
    before = 0.0
    for mebibytes in (2, 99):
        before = peak_mebibytes()
        text = b"the cat sat on the mat and looked at the dog for a while.\n" * (
            mebibytes * 2**20 // 58
        )
        answer = httpx.post(
            f"{server.url}/api/v1/datasets", files={"file": ("a.txt", text)}, timeout=100
        )
        assert answer.status_code == 201, answer.text
        assert answer.json()["bytes"] > (mebibytes - 1) * 2**20
    assert peak_mebibytes() - before < 32


def test_heads_have_a_size(server: Server) -> None:
    for head, statuses in (
        (b"GET /" + b"a" * 9000 + b" HTTP/1.1\r\nHost: localhost\r\n\r\n", (b"414", b"400")),
        (b"GET / HTTP/1.1\r\nX: " + b"a" * 9000 + b"\r\n\r\n", (b"431", b"400")),
        (b"GET / HTTP/1.1\r\n" + b"X: a\r\n" * 200 + b"\r\n", (b"431", b"400")),
        (b"GET / HTTP/1.1\r\nX: " + b"a" * 100_000, (b"431", b"")),
    ):
        with closing(server.connect()) as client:
            try:
                client.sendall(head)
            except ConnectionError:
                continue
            assert read_all(client)[9:12] in statuses


def test_what_proxies_say_is_not_believed_by_the_server(server: Server) -> None:
    """Without keys a request through a proxy is refused, whoever it says it is from."""
    for name in ("X-Forwarded-For", "Forwarded", "Via"):
        answer = httpx.get(f"{server.url}/api/v1/jobs", headers={name: "127.0.0.1"})
        assert answer.status_code == 403
    scheme = httpx.get(f"{server.url}/", headers={"X-Forwarded-Proto": "https"})
    assert scheme.status_code == 200
    assert "Secure" not in scheme.headers["Set-Cookie"]
