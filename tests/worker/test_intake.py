"""Large texts are read apart: the same result, within limits that hold."""

import io
import tempfile
from pathlib import Path
from threading import BoundedSemaphore

import pytest

from lstmcore.errors import CorpusError
from worker import intake
from worker.errors import Unavailable
from worker.intake import Reading, Wanted

GIBIBYTE = 2**30
LINES = "Größe und 麦 : 1\nwhat is your name : Jay\n" * 3


@pytest.fixture(autouse=True)
def apart(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    """Everything counts as large, and whatever is left behind is seen."""
    monkeypatch.setattr(intake, "SMALL_BYTES", -1)
    monkeypatch.setattr(tempfile, "tempdir", str(tmp_path))


def content_of(read: Reading) -> bytes:
    return read.content if isinstance(read.content, bytes) else read.content.read_bytes()


@pytest.mark.parametrize(
    ("data", "wanted"),
    [
        (LINES.encode(), Wanted()),
        (LINES.encode("utf-16"), Wanted("a.txt")),
        (LINES.replace("\n", "\r").encode("gb18030", "replace"), Wanted(encoding="gb18030")),
        (b'text,more\n"a, b",c\n', Wanted("a.csv")),
        (b'{"prompt": "a", "completion": "b"}\n', Wanted("a.jsonl", layout="pairs")),
    ],
)
def test_a_text_read_apart_is_the_same(
    data: bytes, wanted: Wanted, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    with intake.read(io.BytesIO(data), wanted, GIBIBYTE) as read:
        assert isinstance(read.content, Path)
        large = (read.layout, content_of(read), read.size, read.report)
    monkeypatch.setattr(intake, "SMALL_BYTES", 2**20)
    with intake.read(data, wanted, GIBIBYTE) as read:
        assert isinstance(read.content, bytes)
        assert large == (read.layout, content_of(read), read.size, read.report)
    assert list(tmp_path.iterdir()) == []


def test_what_is_wrong_with_it_is_said_with_its_line() -> None:
    with (
        pytest.raises(CorpusError) as caught,
        intake.read(b"a,b\n1,2\n1,2,3\n", Wanted("a.csv"), GIBIBYTE),
    ):
        pass
    assert caught.value.line == 3
    assert "fields" in str(caught.value)


def test_memory_and_time_have_an_end(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    short_lines = b"ab\n" * 4_000_000
    with pytest.raises(CorpusError, match="MAX_READING_BYTES"):
        intake.read(short_lines, Wanted(), GIBIBYTE // 4).__enter__()
    monkeypatch.setattr(intake, "LONGEST_SECONDS", 0.01)
    with pytest.raises(CorpusError, match="took longer"):
        intake.read(b"a b c", Wanted(), GIBIBYTE).__enter__()
    assert list(tmp_path.iterdir()) == []


def test_few_are_read_at_once(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(intake, "_turns", BoundedSemaphore(1))
    monkeypatch.setattr(intake, "TURN_SECONDS", 0.0)
    with intake.read(b"a b c", Wanted(), GIBIBYTE):
        with pytest.raises(Unavailable):
            intake.read(b"a b c", Wanted(), GIBIBYTE).__enter__()
        monkeypatch.setattr(intake, "SMALL_BYTES", 100)
        with intake.read(b"a b c", Wanted(), GIBIBYTE) as read:  # small ones never wait
            assert read.size
    monkeypatch.setattr(intake, "SMALL_BYTES", -1)
    with intake.read(b"a b c", Wanted(), GIBIBYTE) as read:
        assert read.size
