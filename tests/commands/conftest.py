"""The application behind a real socket, without workers; and what commands are run on."""

import contextlib
import threading
from collections.abc import Iterator
from pathlib import Path

import pytest
from flask import Flask
from werkzeug.serving import make_server

from tests.web.conftest import model, model_files

__all__ = ["model", "model_files"]

LINES = "what is your name : Jay\nwhat is capital of India : Delhi\nok\n"


@contextlib.contextmanager
def listening(app: Flask) -> Iterator[str]:
    """Serve it on a free port of this machine."""
    server = make_server("127.0.0.1", 0, app, threaded=True)
    thread = threading.Thread(target=server.serve_forever, args=(0.02,))
    thread.start()
    try:
        yield f"http://127.0.0.1:{server.server_port}"
    finally:
        server.shutdown()
        thread.join()
        server.server_close()


@pytest.fixture
def url(app: Flask, monkeypatch: pytest.MonkeyPatch) -> Iterator[str]:
    """Where it listens; the commands find it by their environment."""
    with listening(app) as address:
        monkeypatch.setenv("LSTMQ_URL", address)
        yield address


@pytest.fixture
def text(tmp_path: Path) -> Path:
    """A file with the lesson's lines."""
    file = tmp_path / "lesson.txt"
    file.write_text(LINES)
    return file
