"""What comes out and how a command ends, whatever the service answers."""

import json
import socket
import subprocess
import threading
import tracemalloc
from collections.abc import Callable, Iterator
from http.server import BaseHTTPRequestHandler, HTTPServer
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest
from flask import Flask

from tests.commands.conftest import LINES, listening
from tests.commands.running import done, lstmq
from tests.web.test_api_predict import item, predictor
from web import client as web_client
from web import create_app
from web.commands.sources import send
from web.commands.terminal import print_table
from worker import keys
from worker.backend import Backend
from worker.records import Model
from worker.settings import Settings

__all__ = ["predictor"]

LARGE = 16 << 20  # bytes
TUTORIAL = ("--preset", "tutorial", "--no-wait")


@pytest.fixture
def job(url: str, text: Path) -> str:
    """A training that waits."""
    return done("train", str(text), *TUTORIAL).strip()


@pytest.fixture
def stranger() -> Iterator[str]:
    """A web server that is no lstmq."""

    class Handler(BaseHTTPRequestHandler):
        def do_GET(self) -> None:
            self.send_response(200)
            self.end_headers()
            self.wfile.write(b"<h1>Hello</h1>")

        def do_POST(self) -> None:
            """Read a body of either kind and say how long it was."""
            size = 0
            if length := self.headers["Content-Length"]:
                left = int(length)
                while left:
                    left -= len(self.rfile.read(min(left, 1 << 16)))
                size = int(length)
            else:
                while part := int(self.rfile.readline(), 16):
                    size += len(self.rfile.read(part))
                    self.rfile.readline()
                self.rfile.readline()
            self.send_response(201)
            self.end_headers()
            self.wfile.write(json.dumps({"size": size}).encode())

        def log_message(self, *_: object) -> None: ...

    server = HTTPServer(("127.0.0.1", 0), Handler)
    thread = threading.Thread(target=server.serve_forever, args=(0.02,))
    thread.start()
    yield f"http://127.0.0.1:{server.server_port}"
    server.shutdown()
    thread.join()
    server.server_close()


def test_every_kind_of_refusal_has_its_exit_code(
    url: str, job: str, text: Path, stranger: str
) -> None:
    assert lstmq("job", "job-nothing").exit_code == 4
    assert lstmq("job", job, "resume").exit_code == 1  # it is not paused
    assert lstmq("jobs", "--url", stranger).exit_code == 1
    assert lstmq("jobs", "--url", "localhost:8000").exit_code == 2
    assert lstmq("jobs", LSTMQ_API_KEY="schlüssel").exit_code == 2
    refused = lstmq("train", str(text), "--preset", "word", "--epochs", "0")
    assert (refused.exit_code, "config.training.epochs" in refused.stderr) == (2, True)
    with socket.create_server(("127.0.0.1", 0)) as mute:
        nobody = f"http://127.0.0.1:{mute.getsockname()[1]}"
    assert lstmq("jobs", "--url", nobody).exit_code == 3


def test_what_a_role_may_not_do_and_limits_have_exit_codes_of_their_own(
    settings: Settings, text: Path
) -> None:
    app = create_app(settings.model_copy(update={"max_active_jobs": 1}))
    backend: Backend = app.extensions["lstmq"]
    _, viewer = keys.create(backend, owner="ann", role="viewer")
    _, member = keys.create(backend, owner="ann", role="member")
    with listening(app) as url:
        words = ("train", str(text), *TUTORIAL, "--url", url)
        assert lstmq("jobs", "--url", url, LSTMQ_API_KEY="wrong").exit_code == 5
        assert lstmq(*words, LSTMQ_API_KEY=viewer).exit_code == 5
        assert lstmq(*words, LSTMQ_API_KEY=f" {member}\n").exit_code == 0
        full = lstmq(*words, LSTMQ_API_KEY=member)
        assert (full.exit_code, full.stdout) == (6, "")
    backend.close()


# Werkzeug leaves the file of a body that is refused on its way to the garbage collector.
@pytest.mark.filterwarnings("ignore:.*SpooledTemporaryFile:pytest.PytestUnraisableExceptionWarning")
def test_an_upload_that_is_too_large_is_refused_with_the_limit(
    settings: Settings, text: Path
) -> None:
    app = create_app(settings.model_copy(update={"max_upload_bytes": 1000}))
    text.write_text("all the same\n" * 200_000)
    with listening(app) as url:
        for words, given in (((str(text),), None), (("-",), text.read_bytes())):
            refused = lstmq("upload", *words, "--url", url, given=given)
            assert refused.exit_code == 2, refused.output
            assert "bytes" in refused.stderr
    app.extensions["lstmq"].close()


def test_no_upload_is_ever_in_memory(
    stranger: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    large = tmp_path / "large.txt"
    with large.open("wb") as file:
        file.truncate(LARGE)
    with subprocess.Popen(["cat", str(large)], stdout=subprocess.PIPE) as cat:
        monkeypatch.setattr("sys.stdin", SimpleNamespace(buffer=cat.stdout))
        with web_client.Client(stranger) as client:
            for source in (str(large), "-"):
                tracemalloc.start()
                sent = send(client, "datasets", source, {})
                _, peak = tracemalloc.get_traced_memory()
                tracemalloc.stop()
                assert LARGE < sent["size"] < LARGE + 1000
                assert peak < LARGE / 8


def test_texts_come_from_files_pipes_and_what_is_stored(url: str, text: Path) -> None:
    stored = done("upload", str(text), "--name", "kept", "--layout", "lines").strip()
    piped = json.loads(done("upload", "-", "--json", given=LINES))
    assert (piped["name"], piped["layout"]) == ("stdin.txt", "lines")
    for source, given, name in (
        (stored, None, "kept"),
        ("-", LINES, "stdin"),
        (str(text), None, "lesson"),
    ):
        job = json.loads(done("train", source, *TUTORIAL, "--json", given=given))
        assert (job["kind"], job["name"], job["state"]) == ("train", name, "queued")
    assert lstmq("train", "data-00000000000000000000", *TUTORIAL).exit_code == 4
    assert lstmq("train", "data-nothing", *TUTORIAL).exit_code == 2
    assert stored in done("datasets", "--name", "kept")
    assert lstmq("datasets", "--delete", stored).exit_code == 1  # a job reads it
    done("cancel", "--all")
    assert json.loads(done("datasets", "--delete", stored, "--json"))["deleted"]


def test_settings_come_from_flags_then_pairs_then_a_file(
    url: str, text: Path, tmp_path: Path
) -> None:
    file = tmp_path / "config.json"
    file.write_text('{"preset": "word", "training": {"epochs": 3, "batch_size": 7, "seed": 1}}')
    words = ("--config", str(file), "--set", "training.batch_size=8", "--set", "training.seed=2")
    words = (*words, "--epochs", "9", "--time-limit", "10m", "--priority", "high")
    job = json.loads(done("train", str(text), *words, "--no-wait", "--json"))
    training = job["config"]["training"]
    assert (job["config"]["preset"], job["priority"]) == ("word", "high")
    assert (training["epochs"], training["batch_size"], training["seed"]) == (9, 8, 2)
    assert training["max_seconds"] == 600
    for wrong in (("--time-limit", "soon"), ("--set", "epochs"), ("--config", str(text))):
        assert lstmq("train", str(text), *wrong).exit_code == 2
    file.write_text("[]")
    assert lstmq("train", str(text), "--config", str(file)).exit_code == 2
    assert lstmq("train", str(text), "--config", "nowhere.json").exit_code == 2


def test_lists_are_pages_put_together(
    url: str, text: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(web_client, "LARGEST_PAGE", 1)
    made = [
        done("train", str(text), "--name", f"n{number}", *TUTORIAL).strip() for number in (1, 2, 3)
    ]
    page = json.loads(done("jobs", "--limit", "2", "--json"))
    assert [job["id"] for job in page["data"]] == made[:0:-1]
    assert page["has_more"]
    assert page["next"] in lstmq("jobs", "--limit", "2").stderr
    rest = json.loads(done("jobs", "--after", page["next"], "--json"))
    assert ([job["id"] for job in rest["data"]], rest["has_more"]) == (made[:1], False)
    (named,) = json.loads(done("jobs", "--name", "n2", "--json"))["data"]
    assert named["id"] == made[1]
    assert json.loads(done("jobs", "--kind", "predict", "--json"))["data"] == []


def test_a_pipe_gets_lines_and_a_terminal_nothing_that_moves_its_cursor(
    url: str, text: Path
) -> None:
    name = "[/bold] :smile: [red]x"
    job = done("train", str(text), "--name", name, *TUTORIAL).strip()
    heading, line = done("jobs").splitlines()
    assert heading.split("\t")[:2] == ["id", "name"]
    assert line.split("\t")[:2] == [job, name]
    assert name in done("job", job)


def test_jobs_are_changed_one_by_one_and_many_at_once(url: str, job: str, text: Path) -> None:
    assert json.loads(done("job", job, "pause", "--json"))["state"] == "paused"
    assert "queued" in done("job", job, "resume")
    other = done("train", str(text), "--name", "other", *TUTORIAL).strip()
    third = done("train", str(text), "--name", "third", *TUTORIAL).strip()
    some = lstmq("cancel", other, "job-nothing")
    assert (some.exit_code, some.stdout.split()) == (1, [other])
    assert "job-nothing" in some.stderr
    answer = json.loads(done("cancel", "--state", "queued", "--name", "third", "--json"))
    assert answer == {"cancelled": [third], "skipped": []}
    assert done("cancel", "--all").split() == [job]
    assert done("cancel", "--all") == ""
    assert lstmq("job", job, "download").exit_code == 4
    assert json.loads(done("job", job, "delete", "--json")) == {"id": job, "deleted": True}
    for wrong in (
        ("cancel",),
        ("cancel", other, "--all"),
        ("job", other, "cancel", "--follow"),
        ("job", other, "--output", "x"),
        ("job", other, "explode"),
    ):
        assert lstmq(*wrong).exit_code == 2, wrong


def test_a_sweep_is_asked_for_in_flags_or_a_file(url: str, text: Path, tmp_path: Path) -> None:
    words = ("sweep", str(text), "--no-wait", "--preset", "tutorial")
    grid = done(*words, "--try", "model.hidden_dim=8,16").strip()
    found = json.loads(done("sweeps", grid, "--json"))
    assert (found["method"], found["halving_factor"], len(found["trials"])) == ("grid", 3, 2)
    assert found["space"] == {"model.hidden_dim": [8, 16]}
    file = tmp_path / "space.json"
    file.write_text('{"training.learning_rate": {"min": 0.001, "max": 0.1, "scale": "log"}}')
    more = ("--try", "model.hidden_dim=8..16", "--trials", "3", "--no-halving", "--seed", "5")
    drawn = json.loads(done(*words, "--space", str(file), *more, "--json"))
    assert (drawn["method"], drawn["halving_factor"], drawn["seed"]) == ("random", None, 5)
    assert len(drawn["trials"]) == 3
    assert drawn["space"]["model.hidden_dim"] == {"min": 8, "max": 16, "scale": "linear"}
    assert grid in done("sweeps")
    ended = lstmq("sweeps", grid, "cancel")
    assert ended.exit_code == 0
    assert lstmq("sweeps", grid, "--follow").exit_code == 1  # nothing came of it
    assert lstmq("sweeps", grid, "cancel").exit_code == 1
    assert done("sweeps", grid, "delete") == ""
    assert lstmq("sweeps", grid).exit_code == 4
    for wrong in (
        (*words,),
        (*words, "--try", "model.hidden_dim"),
        (*words, "--try", "training.learning_rate=low..high"),
        (*words, "--try", "model.hidden_dim=8", "--halving", "2", "--no-halving"),
        (*words, "--try", "model.nothing=8"),
        ("sweeps", "--follow"),
        ("sweeps", drawn["id"], "cancel", "--follow"),
    ):
        assert lstmq(*wrong).exit_code == 2, wrong


def test_a_prediction_is_written_as_it_comes(
    url: str, model: Model, predictor: Callable[[list[dict[str, Any]]], None]
) -> None:
    predictor([{"type": "token", "text": "in"}, {"type": "token", "text": "\x1b[2Jdia"}, item("x")])
    assert done("predict", model.name, "-", given="capital of\n") == "capital of in\\x1b[2Jdia\n"
    predictor([item("india")])
    assert done("predict", model.name, "capital of", "--no-stream") == "capital of india\n"
    predictor([{"type": "token", "text": "in"}, item("india")])
    lines = done("predict", model.name, "capital of", "--stream", "--json").splitlines()
    assert [json.loads(line)["type"] for line in lines] == ["token", "result"]


def test_a_prediction_that_fails_says_so(
    url: str, model: Model, predictor: Callable[[list[dict[str, Any]]], None]
) -> None:
    failure = {"type": "error", "code": "internal", "message": "it fell over"}
    predictor([{"type": "token", "text": "in"}, failure])
    assert lstmq("predict", model.name, "capital of").exit_code in (1, 6)
    for words, given in (
        (("predict", model.name, "x", "--temperature", "9"), None),
        (("predict", model.name, "x", "--n", "2", "--stream"), None),
        (("predict", model.name, "\udcff"), None),
        (("predict", model.name, "-"), b"\xff"),
        (("predict", model.name, "-"), b"x" * (1 << 20) + b"y"),
        (("predict", model.name, "x", "--sampling", "nowhere"), None),
        (("score", model.name), None),
    ):
        refused = lstmq(*words, given=given)
        assert (refused.exit_code, refused.stdout) == (2, ""), words


def test_what_is_scored_must_be_a_text_of_a_page(
    url: str, model: Model, tmp_path: Path, app: Flask
) -> None:
    file = tmp_path / "text"
    for data in (b"\xff\xfe", b"x" * ((1 << 20) + 1), b"x" * 20_001):
        file.write_bytes(data)
        refused = lstmq("score", model.name, "--file", str(file))
        assert refused.exit_code == 2, refused.output


def test_models_are_renamed_and_removed(url: str, model: Model) -> None:
    assert "other" in done("model", model.name, "--rename", "other")
    assert lstmq("model", "other", "--rename", "x", "--delete").exit_code == 2
    assert json.loads(done("model", "other", "--delete", "--json"))["deleted"]
    assert lstmq("model", "other").exit_code == 4


def test_a_table_on_a_terminal_takes_nothing_for_markup(
    capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("sys.stdout.isatty", lambda: True)
    monkeypatch.setenv("COLUMNS", "200")
    print_table(("id", "name"), [("job-1", "[/bold] :smile:\x1b[2J\u009b"), ("job-2", None)])
    told = capsys.readouterr().out
    assert "[/bold] :smile:\\x1b[2J\\x9b" in told
    assert "│" in told
