"""Artifacts: written once, checked at every read."""

import os
from pathlib import Path

import pytest

from worker.errors import StoreError
from worker.records import StoredFile
from worker.store import ArtifactStore


@pytest.fixture
def store(tmp_path: Path) -> ArtifactStore:
    return ArtifactStore((tmp_path / "a folder").as_uri())


@pytest.mark.parametrize("size", [0, 1, 3_000_000])
def test_what_was_put_is_read_from_bytes_and_from_a_file(
    store: ArtifactStore, tmp_path: Path, size: int
) -> None:
    data = bytes(range(256)) * (size // 256 + 1)
    data = data[:size]
    source = tmp_path / "source"
    source.write_bytes(data)
    by_bytes, by_path = store.put("a/1", data), store.put("a/2", source)
    assert by_bytes.sha256 == by_path.sha256
    assert by_bytes.bytes == by_path.bytes == size
    assert store.read(by_bytes) == store.read(by_path) == data
    assert store.download(by_path, tmp_path / "copy").read_bytes() == data


def test_nothing_is_overwritten(store: ArtifactStore) -> None:
    first = store.put("a/1", b"first")
    with pytest.raises(StoreError, match="exists"):
        store.put("a/1", b"second")
    assert store.read(first) == b"first"


@pytest.mark.parametrize("damage", ["flip", "truncate", "remove"])
def test_damage_is_found(store: ArtifactStore, tmp_path: Path, damage: str) -> None:
    file = store.put("a/1", b"some bytes")
    path = tmp_path / "a folder" / "a" / "1"
    if damage == "flip":
        path.write_bytes(b"some bytez")
    elif damage == "truncate":
        path.write_bytes(b"some")
    else:
        path.unlink()
    with pytest.raises(StoreError):
        store.read(file)
    target = tmp_path / "copy"
    with pytest.raises(StoreError):
        store.download(file, target)
    assert not target.exists()


def test_removing_what_is_gone_is_fine(store: ArtifactStore) -> None:
    file = store.put("a/1", b"x")
    store.delete(file, file, StoredFile("never/was", "", 0))
    with pytest.raises(StoreError):
        store.read(file)


def test_a_store_that_cannot_be_written_says_so(tmp_path: Path) -> None:
    store = ArtifactStore((tmp_path / "store").as_uri())
    store.check()
    (tmp_path / "store" / "a").write_text("a file where a folder should be")
    with pytest.raises(StoreError, match="cannot be written"):
        store.put("a/1", b"x")


def test_what_a_record_may_point_at_is_on_the_disk(
    store: ArtifactStore, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The file and every folder name that leads to it were synced when `put` returns."""
    synced, really = [], os.fsync

    def watched(descriptor: int) -> None:
        really(descriptor)
        synced.append(Path(f"/proc/self/fd/{descriptor}").readlink())

    monkeypatch.setattr(os, "fsync", watched)
    store.put("a/b/1", b"x")
    root = tmp_path / "a folder"
    assert synced == [root / "a" / "b" / "1", root / "a" / "b", root / "a", root]
