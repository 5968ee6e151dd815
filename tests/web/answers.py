"""What tests look for in answers, and models to ask about."""

import json
import tempfile
from pathlib import Path
from typing import Any

from werkzeug.test import TestResponse

from worker import models
from worker.backend import Backend
from worker.records import Model

TUTORIAL = "what is your name : Jay\nwhat is capital of India : Delhi\nok\n"


def problem_of(response: TestResponse, status: int) -> dict[str, Any]:
    """The problem in an error's answer, whose shape is the same everywhere."""
    assert response.status_code == status, response.text
    assert response.mimetype == "application/problem+json"
    problem: dict[str, Any] = json.loads(response.text)
    assert problem["status"] == status
    assert isinstance(problem["type"], str)
    assert problem["title"]
    assert problem["detail"]
    for error in problem.get("errors", []):
        assert error.keys() == {"loc", "msg"}
        assert isinstance(error["loc"], list)
        assert error["msg"]
    return problem


def refused_fields(response: TestResponse) -> list[list[str | int]]:
    """Where the refused values of a 422 are."""
    return [error["loc"] for error in problem_of(response, 422)["errors"]]


def events_of(stream: str) -> list[tuple[Any, dict[str, Any]]]:
    """The (id, data) of each message of an event stream; comments left out."""
    found = []
    for block in stream.split("\n\n"):
        lines = dict(line.split(": ", 1) for line in block.splitlines() if line[:1] != ":")
        assert lines.keys() <= {"id", "data"}
        if lines:
            given = lines.get("id", "")
            identifier = int(given) if given.isdecimal() else given or None
            found.append((identifier, json.loads(lines["data"])))
    return found


def import_model(backend: Backend, owner: str, name: str, files: dict[str, bytes]) -> Model:
    """Store these files as somebody's model."""
    with tempfile.TemporaryDirectory(prefix="lstmq-") as folder:
        for filename, data in files.items():
            (Path(folder) / filename).write_bytes(data)
        return models.import_folder(backend, owner, name, Path(folder))
