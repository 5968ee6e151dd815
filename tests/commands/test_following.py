"""Jobs that are watched: every event once, whatever the line does; leaving does not stop them."""

import json
import os
import signal
import subprocess
import sys
import threading
from itertools import pairwise
from pathlib import Path

import pytest
from flask import Flask
from hypothesis import given
from hypothesis import strategies as st

from tests.commands.cutting import line_to
from tests.commands.running import lstmq
from tests.processes import eventually
from web import event_stream
from web.client import ApiError, Client
from web.event_stream import Patience, messages, story
from web.watching import WATCHERS
from worker import events as contract
from worker import jobs
from worker.backend import Backend

FRAMES = ': still here\n\nid: 7\ndata: {"id": 7, "text": "é\u2028"}\n\ndata: {"id": null}\r\n\r\n'


@pytest.fixture
def job(url: str, text: Path, backend: Backend) -> str:
    """A training that was cancelled, with a story of some length."""
    identifier = lstmq("train", str(text), "--preset", "tutorial", "--no-wait").stdout.strip()
    with backend.database.writing() as connection:
        for step in range(1, 40):
            contract.append(connection, identifier, "metrics", {"step": step, "loss": 1 / step})
        contract.append(connection, identifier, "sample", {"text": "so \x1b[31mred"})
        contract.append(connection, identifier, "log", {"message": "nothing special"})
    jobs.cancel(backend, "local", identifier)
    return identifier


@given(st.lists(st.integers(0, len(FRAMES.encode()))))
def test_a_stream_is_the_same_however_it_is_cut(cuts: list[int]) -> None:
    data = FRAMES.encode()
    ends = sorted({0, *cuts, len(data)})
    chunks = [data[begin:end] for begin, end in pairwise(ends)]
    assert list(messages(chunks)) == [{"id": 7, "text": "é\u2028"}, {"id": None}]


@pytest.mark.parametrize("data", [b"data: {\n\n", b"data: 3\n\n", b"data: \xff\n\n"])
def test_what_is_no_such_stream_is_an_error(data: bytes, monkeypatch: pytest.MonkeyPatch) -> None:
    with pytest.raises(ApiError, match="cannot be read"):
        list(messages([data]))
    monkeypatch.setattr(event_stream, "LARGEST_MESSAGE_BYTES", 100)
    with pytest.raises(ApiError, match="cannot be read"):
        list(messages([b"data: ", b"x" * 101]))


def test_a_line_that_breaks_costs_no_event_and_repeats_none(
    url: str, job: str, backend: Backend
) -> None:
    known = [event.id for event in contract.after(backend, job)]
    with line_to(url, 2500) as line, Client(line.url) as client:
        seen = [event["id"] for event in story(client, job) if event["id"] is not None]
    assert seen == known
    assert line.connections > 3


def test_a_job_whose_answer_was_lost_is_there_once(url: str, text: Path, backend: Backend) -> None:
    stored = lstmq("upload", str(text)).stdout.strip()
    with line_to(url, 10, breaks=1) as line:
        made = lstmq("train", stored, "--no-wait", LSTMQ_URL=line.url)
    assert (made.exit_code, line.connections) == (0, 2), made.output
    (job,) = jobs.list_page(backend, "local").data
    assert made.stdout.strip() == job.id


def test_a_story_is_followed_to_its_end(url: str, job: str) -> None:
    told = lstmq("job", job, "--follow")
    assert told.exit_code == 1  # it was cancelled
    assert "cancelled" in told.stderr
    lines = told.stdout.splitlines()
    assert "queued" in lines[0]
    assert "cancelled" in lines[-1]
    assert "\x1b" not in told.stdout
    items = [json.loads(line) for line in lstmq("job", job, "-f", "--json").stdout.splitlines()]
    assert len(items) == len(lines)
    after = str(items[-3]["id"])
    rest = lstmq("job", job, "-f", "--json", "--after", after).stdout.splitlines()
    assert [json.loads(line) for line in rest] == items[-2:]
    gone = lstmq("job", "job-nothing", "--follow")
    assert (gone.exit_code, gone.stdout) == (4, "")


def test_a_service_that_stays_away_ends_the_watching_not_the_job(
    url: str, text: Path, backend: Backend, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(event_stream, "PATIENCE_SECONDS", 0.5)
    with line_to(url, None) as line:

        def cut() -> None:
            eventually(lambda: jobs.list_page(backend, "local").data)
            line.budget = 0
            jobs.cancel(backend, "local", jobs.list_page(backend, "local").data[0].id)

        cutting = threading.Thread(target=cut)
        cutting.start()
        left = lstmq("train", str(text), "--preset", "tutorial", LSTMQ_URL=line.url)
        cutting.join()
    (job,) = jobs.list_page(backend, "local").data
    assert left.exit_code == 3, left.output
    assert f"lstmq job {job.id} --follow" in left.stderr


def test_patience_is_for_what_may_pass(monkeypatch: pytest.MonkeyPatch) -> None:
    Patience().wait(ApiError("busy", 503, retry_after=0.01))
    with pytest.raises(ApiError):
        Patience().wait(ApiError("no", 404))
    monkeypatch.setattr(event_stream, "PATIENCE_SECONDS", -1)
    with pytest.raises(ApiError):
        Patience().wait(ApiError("nobody there", None))


@pytest.mark.parametrize("terminal", [False, True])
def test_leaving_a_training_does_not_stop_it(
    url: str, app: Flask, text: Path, backend: Backend, terminal: bool
) -> None:
    environment = {"TTY_COMPATIBLE": "1", "COLUMNS": "120"} if terminal else {}
    ours = signal.signal(signal.SIGINT, signal.default_int_handler)  # `pytest &` has it ignored,
    try:  # and so would have the command
        left = subprocess.Popen(
            [sys.executable, "-m", "web.cli", "train", str(text), "--preset", "tutorial"],
            env=os.environ | {"LSTMQ_URL": url} | environment,
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
            text=True,
        )
    finally:
        signal.signal(signal.SIGINT, ours)
    try:
        eventually(lambda: app.extensions[WATCHERS]._bells)
        left.send_signal(signal.SIGINT)
        output, remarks = left.communicate(timeout=60)
    finally:
        left.kill()
    (job,) = jobs.list_page(backend, "local").data
    assert left.returncode == 130
    assert job.state == "queued"
    assert f"lstmq job {job.id} --follow" in remarks
    assert f"lstmq cancel {job.id}" in remarks
    assert output == ""
    assert ("━" in remarks) == terminal
