"""`lstmq up` as a person runs it: one command, every part, and nothing left afterwards."""

import os
import re
import secrets
import shutil
import signal
import socket
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator
from pathlib import Path

import httpx
import pytest

from tests.processes import MARK, PATIENCE_SECONDS, eventually, marked
from web.client import Client
from web.lock import running_url

STOP_SECONDS = 10.0  # five are promised and kept (see test_supervisor); this machine may be busy
WRONG_USE, OCCUPIED = 2, 7
TUTORIAL = Path(__file__).parents[1] / "web" / "samples" / "tutorial.txt"


class Service:
    """A running `lstmq up` on a folder; whatever happens, nothing of it outlives the `with`."""

    def __init__(
        self, folder: Path, *arguments: str, settings: dict[str, str] | None = None
    ) -> None:
        self.folder, self._settings = folder, settings or {}
        self.mark = secrets.token_hex(8)
        self._log = folder.parent / f"{self.mark}.log"
        self._command = [sys.executable, "-m", "web.cli", "up", "--data-dir", str(folder)]
        self._command += arguments or ("--port", "0")

    def __enter__(self) -> "Service":
        clean = {name: value for name, value in os.environ.items() if name[:6] != "LSTMQ_"}
        with self._log.open("w") as output:
            self.process = subprocess.Popen(
                self._command,
                env={**clean, **self._settings, MARK: self.mark},
                stdout=output,
                stderr=output,
            )
        return self

    def __exit__(self, *_: object) -> None:
        if self.process.poll() is None:
            self.process.kill()
            self.process.wait()
            eventually(lambda: not marked(self.mark))

    def said(self) -> str:
        return self._log.read_text()

    def url(self) -> str:
        """Where it listens, once it says that it is ready."""
        eventually(lambda: "ready on" in self.said() or self.process.poll() is not None)
        found = re.search(r"ready on (\S+)", self.said())
        assert found, self.said()
        return found[1]

    def process_of(self, part: str) -> int:
        """The newest process id a part was ready with."""
        return int(re.findall(rf"{part} +ready after .*process (\d+)", self.said())[-1])

    def stop(self, number: int = signal.SIGINT, seconds: float = STOP_SECONDS) -> None:
        """Ask it to stop: it does, soon, and leaves no process behind."""
        began = time.monotonic()
        self.process.send_signal(number)
        code = self.process.wait(timeout=PATIENCE_SECONDS)
        assert code == 0, self.said()
        assert time.monotonic() - began < seconds
        assert not marked(self.mark)


@pytest.fixture
def folder() -> Iterator[Path]:
    """A data folder whose path is short enough for a socket."""
    parent = Path(tempfile.mkdtemp(prefix="lstmq-"))
    yield parent / "var"
    shutil.rmtree(parent)


def lstmq(folder: Path, *arguments: str) -> str:
    """What a command of the command line prints."""
    run = subprocess.run(
        [sys.executable, "-m", "web.cli", *arguments],
        env={**os.environ, "LSTMQ_DATA_DIR": str(folder)},
        capture_output=True,
        text=True,
        check=False,
    )
    assert run.returncode == 0, run.stdout + run.stderr
    return run.stdout


def test_the_whole_life_of_a_service(folder: Path, tmp_path: Path) -> None:
    with Service(folder, "--port", "0", "--sample") as service, Client(service.url()) as client:
        assert running_url(folder) == client.url
        assert client.readiness() == ""
        (sample,) = client.newest("jobs")
        assert client.finished(sample["id"])["state"] == "succeeded"
        the_command_line_finds_it(folder, client)
        a_second_one_is_refused(folder, client.url)
        every_part_that_is_killed_comes_back(service, client)
        # A stop in the middle of a training publishes what was trained.
        text = tmp_path / "long.txt"
        text.write_text("the cat sat on the mat and the dog lay by the door.\n" * 400)
        config = {"preset": "char", "training": {"epochs": 500}}
        job = client.train(client.upload(text)["id"], config=config)["id"]
        eventually(lambda: client.job(job)["progress"]["step"] > 0)
        known = {job["id"] for job in client.newest("jobs")}
        service.stop()
        assert running_url(folder) is None

    # A second start on the same folder goes on where the first one stopped, without a new sample.
    with Service(folder, "--port", "0", "--sample") as service:
        with Client(service.url()) as client:
            assert {job["id"] for job in client.newest("jobs")} == known
            before = client.job(job)
            assert before["slices"] >= 1
            eventually(lambda: client.job(job)["progress"]["step"] > before["progress"]["step"])
        # Killed, it can be started again at once.
        service.process.kill()
        service.process.wait()
        with Service(folder) as successor:
            assert httpx.get(f"{successor.url()}/readyz").is_success
            assert not marked(service.mark)
            successor.stop(signal.SIGTERM)


def the_command_line_finds_it(folder: Path, client: Client) -> None:
    """By its folder; it trains on a file and asks the model."""
    trained = lstmq(folder, "train", str(TUTORIAL), "--preset", "tutorial", "--name", "lesson")
    assert client.ask("GET", f"/models/{trained.strip()}")["name"] == "lesson"
    answer = lstmq(folder, "predict", trained.strip(), "what is capital of", "--max-tokens", "1")
    assert "what is capital of india" in answer


def a_second_one_is_refused(folder: Path, url: str) -> None:
    """With the reason, and where the first is."""
    with Service(folder) as second:
        assert second.process.wait(timeout=PATIENCE_SECONDS) == OCCUPIED
        assert url in second.said()


def every_part_that_is_killed_comes_back(service: Service, client: Client) -> None:
    """All of them together, at the same addresses."""
    parts = ("queue", "train-1", "predict-1", "web")
    for part in parts:
        os.kill(service.process_of(part), signal.SIGKILL)
    for part in parts:
        eventually(lambda: service.said().count(f"{part:<10} ready") == 2)  # noqa: B023
    eventually(lambda: client.readiness() == "")
    again = client.train(client.upload(TUTORIAL)["id"], config={"preset": "tutorial"})
    assert client.finished(again["id"])["state"] == "succeeded"


def test_a_taken_port_is_told(folder: Path) -> None:
    with socket.create_server(("127.0.0.1", 0)) as holder:
        port = str(holder.getsockname()[1])
        with Service(folder, "--port", port) as service:
            assert service.process.wait(timeout=PATIENCE_SECONDS) == OCCUPIED
            assert "--port" in service.said()
            assert not marked(service.mark)


def test_listening_beyond_this_machine_needs_keys(folder: Path) -> None:
    run = subprocess.run(
        [sys.executable, "-m", "web.cli", "up", "--data-dir", str(folder)],
        env={**os.environ, "LSTMQ_HOST": "0.0.0.0", "LSTMQ_API_KEYS": ""},  # noqa: S104
        capture_output=True,
        text=True,
        check=False,
    )
    assert run.returncode == WRONG_USE
    assert "LSTMQ_API_KEYS" in run.stderr
    assert not folder.exists()
