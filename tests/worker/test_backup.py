"""`lstmq verify`, `backup` and `restore`: as a person runs them, also while others publish."""

from pathlib import Path

import pytest
from click.testing import CliRunner, Result

from tests.worker.conftest import Submit
from tests.worker.publishing import busy, one_slice
from web.cli import main
from web.lock import locked
from worker import backup, jobs
from worker.backend import Backend, open_backend
from worker.verification import verify


def lstmq(*arguments: object) -> Result:
    return CliRunner().invoke(main, [str(argument) for argument in arguments])


def artifact(backend: Backend, kind: str) -> Path:
    assert backend.store.folder is not None
    return next(path for path in (backend.store.folder / kind).rglob("*") if path.is_file())


@pytest.fixture
def database_url() -> str:
    """The records in the data folder: what is copied is an installation on one machine."""
    return ""


@pytest.mark.parametrize("how", ["missing", "damaged"])
def test_verify_finds_what_is_missing_or_damaged(
    backend: Backend, submit: Submit, how: str
) -> None:
    job = submit()
    one_slice(backend)
    assert backend.store.folder is not None
    backend.store.put("models/orphan", b"x")
    good = lstmq("verify", "--data-dir", backend.settings.data_dir)
    assert good.exit_code == 0, good.output
    assert "1 more that no record needs" in good.output
    path = artifact(backend, "checkpoints")
    if how == "missing":
        path.unlink()
    else:
        path.write_bytes(b"other bytes")
    bad = lstmq("verify", "--data-dir", backend.settings.data_dir)
    assert bad.exit_code == 1
    assert f"{how}: checkpoints/" in bad.output
    assert job.id in bad.output


def test_a_backup_of_a_busy_installation_is_whole_and_restores(
    backend: Backend, submit: Submit, tmp_path: Path
) -> None:
    made = [submit(name=f"job {number}") for number in range(3)]
    with busy(backend) as errors:
        for number in range(3):
            result = lstmq(
                "backup", tmp_path / f"copy {number}", "--data-dir", backend.settings.data_dir
            )
            assert result.exit_code == 0, result.output
    assert errors == []
    target = tmp_path / "restored"
    result = lstmq("restore", tmp_path / "copy 2", "--data-dir", target)
    assert result.exit_code == 0, result.output
    settings = backend.settings.model_copy(update={"data_dir": target})
    restored = open_backend(settings)
    found = verify(restored)
    assert found.good
    assert found.checked >= 6
    assert not found.orphaned
    for job in made:
        assert jobs.get(restored, "ann", job.id).slices > 0
    restored.close()


def test_nothing_is_overwritten(backend: Backend, submit: Submit, tmp_path: Path) -> None:
    submit()
    occupied = tmp_path / "occupied"
    occupied.mkdir()
    (occupied / "thesis.txt").write_text("mine")
    assert lstmq("backup", occupied, "--data-dir", backend.settings.data_dir).exit_code == 1
    assert [path.name for path in occupied.iterdir()] == ["thesis.txt"]
    copy = tmp_path / "copy"
    assert lstmq("backup", copy, "--data-dir", backend.settings.data_dir).exit_code == 0
    refused = lstmq("restore", copy, "--data-dir", backend.settings.data_dir)
    assert refused.exit_code == 1
    assert "already" in refused.output
    assert lstmq("restore", occupied, "--data-dir", tmp_path / "new").exit_code == 1
    running = tmp_path / "running"
    running.mkdir()
    with locked(running):
        assert lstmq("restore", copy, "--data-dir", running).exit_code == 7


def test_what_is_damaged_is_not_copied_and_told(
    backend: Backend, submit: Submit, tmp_path: Path
) -> None:
    submit()
    one_slice(backend)
    artifact(backend, "checkpoints").write_bytes(b"other bytes")
    result = lstmq("backup", tmp_path / "copy", "--data-dir", backend.settings.data_dir)
    assert result.exit_code == 1
    assert "checkpoints/" in result.output
    assert (tmp_path / "copy" / backup.RECORDS).is_file()
