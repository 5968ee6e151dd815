"""Models between a service and folders: the same to the bit, or nothing at all."""

import json
from pathlib import Path

import pytest

from tests.commands.cutting import line_to
from tests.commands.running import done, lstmq
from worker import models
from worker.backend import Backend
from worker.records import Model


def content(folder: Path) -> dict[str, bytes]:
    return {file.name: file.read_bytes() for file in folder.iterdir()}


@pytest.fixture(autouse=True)
def here(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """An empty folder to work in."""
    folder = tmp_path / "here"
    folder.mkdir()
    monkeypatch.chdir(folder)
    return folder


def test_there_and_back_is_the_same_to_the_bit(
    url: str, here: Path, model: Model, model_files: dict[str, bytes]
) -> None:
    assert done("pull", model.name) == "lessons-first\n"  # its name holds a slash
    assert content(here / "lessons-first") == model_files
    pushed = done("push", "lessons-first").strip()
    assert json.loads(done("model", pushed, "--json"))["name"] == "lessons-first"
    told = json.loads(done("pull", pushed, "deep/below", "--json"))
    assert (told["model"], told["folder"]) == (pushed, "deep/below")
    assert content(here / "deep" / "below") == model_files
    assert {path.name for path in here.iterdir()} == {"lessons-first", "deep"}


def test_a_zip_is_pushed_as_it_is(
    url: str, here: Path, model: Model, model_files: dict[str, bytes], backend: Backend
) -> None:
    import httpx  # noqa: PLC0415

    archive = httpx.get(f"{url}/api/v1/models/{model.id}/download").content
    Path("twin.zip").write_bytes(archive)
    stored = json.loads(done("push", "twin.zip", "--json"))
    assert stored["name"] == "twin"
    found = models.get(backend, "local", stored["id"])
    assert {name: b"".join(models.open_file(backend, found, name)) for name in found.files} == (
        model_files
    )


def test_what_is_in_a_folder_is_lost_only_when_that_is_wanted(
    url: str, here: Path, model: Model, model_files: dict[str, bytes]
) -> None:
    folder = here / "mine"
    done("pull", model.id, "mine")
    done("pull", model.id, "mine")  # the same: nothing to do
    (folder / "README.md").write_text("my notes")
    refused = lstmq("pull", model.id, "mine")
    assert (refused.exit_code, "--force" in refused.stderr) == (2, True)
    assert (folder / "README.md").read_text() == "my notes"
    done("pull", model.id, "mine", "--force")
    assert content(folder) == model_files
    (folder / "more.txt").write_text("not a model's")
    assert lstmq("pull", model.id, "mine", "--force").exit_code == 2
    (here / "file").write_text("")
    assert lstmq("pull", model.id, "file", "--force").exit_code == 2
    assert (folder / "more.txt").exists()
    (here / "empty").mkdir()
    done("pull", model.id, "empty")
    assert lstmq("pull", "nobody").exit_code == 4


def test_half_a_download_leaves_nothing(url: str, here: Path, model: Model) -> None:
    with line_to(url, 6000) as line:
        broken = lstmq("pull", model.id, "mine", LSTMQ_URL=line.url)
    assert broken.exit_code == 3, broken.output
    assert list(here.iterdir()) == []


def test_a_download_that_is_not_what_was_announced_leaves_nothing(
    url: str, here: Path, model: Model, monkeypatch: pytest.MonkeyPatch
) -> None:
    def other(_backend: Backend, _model: Model, _name: str) -> list[bytes]:
        return [b"other bytes"]

    monkeypatch.setattr(models, "open_file", other)
    broken = lstmq("pull", model.id, "mine")
    assert broken.exit_code == 1
    assert "not what the service has" in broken.stderr
    monkeypatch.setattr("web.commands.transport.ZIP_BYTES", -(1 << 20))
    assert "more than it announced" in lstmq("pull", model.id, "mine").stderr
    assert list(here.iterdir()) == []


def test_what_is_no_model_is_refused_before_it_is_sent(
    url: str, here: Path, model: Model, backend: Backend
) -> None:
    done("pull", model.id, "mine")
    known = len(models.list_page(backend, "local").data)
    (here / "mine" / "config.json").write_text("{}")
    broken = lstmq("push", "mine")
    assert (broken.exit_code, "config.json" in broken.stderr) == (2, True)
    (here / "mine" / "config.json").unlink()
    assert lstmq("push", "mine").exit_code == 1
    (here / "no.zip").write_bytes(b"PK")
    refused = lstmq("push", "no.zip")
    assert (refused.exit_code, "zip" in refused.stderr) == (2, True)
    assert lstmq("push", "missing").exit_code == 2
    assert len(models.list_page(backend, "local").data) == known


def test_a_folder_that_cannot_be_written_is_told(url: str, here: Path, model: Model) -> None:
    (here / "file").write_text("")
    refused = lstmq("pull", model.id, "file/below")
    assert refused.exit_code == 1
    assert "file" in refused.stderr
