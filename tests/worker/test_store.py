"""Artifacts: written once, checked at every read, in a folder as on S3."""

import os
import resource
import time
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import obstore
import pytest
from obstore.store import from_url

from tests.worker.servers import s3
from worker import store as store_module
from worker.errors import StoreError
from worker.records import StoredFile
from worker.store import ArtifactStore

BUCKET = "lstmq"


@pytest.fixture(scope="module")
def s3_endpoint() -> Iterator[str]:
    with s3(BUCKET) as endpoint:
        yield endpoint


@pytest.fixture(params=["folder", "s3"])
def url(request: pytest.FixtureRequest, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> str:
    """A store of its own."""
    if request.param == "folder":
        return (tmp_path / "a folder").as_uri()
    speak_s3(monkeypatch, request.getfixturevalue("s3_endpoint"))
    return f"s3://{BUCKET}/{tmp_path.name}"


def speak_s3(monkeypatch: pytest.MonkeyPatch, endpoint: str) -> None:
    """The settings that README names."""
    monkeypatch.setenv("AWS_ENDPOINT", endpoint)
    monkeypatch.setenv("AWS_ALLOW_HTTP", "true")
    monkeypatch.setenv("AWS_REGION", "us-east-1")
    monkeypatch.setenv("AWS_ACCESS_KEY_ID", "key")
    monkeypatch.setenv("AWS_SECRET_ACCESS_KEY", "secret")


@pytest.fixture
def store(url: str) -> ArtifactStore:
    return ArtifactStore(url)


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


def test_of_many_writers_of_one_key_one_succeeds(store: ArtifactStore) -> None:
    def put(number: int) -> StoredFile | None:
        try:
            return store.put("a/1", b"%d" % number * 10_000)
        except StoreError:
            return None

    with ThreadPoolExecutor(8) as pool:
        (written,) = [file for file in pool.map(put, range(8)) if file]
    assert store.read(written)  # and it is the winner's, to the checksum


@pytest.mark.parametrize("damage", [b"some bytez", b"some", None])
def test_damage_is_found(
    store: ArtifactStore, url: str, tmp_path: Path, damage: bytes | None
) -> None:
    file = store.put("a/1", b"some bytes")
    behind_its_back = from_url(url)
    if damage is None:
        obstore.delete(behind_its_back, "a/1")
    else:
        obstore.put(behind_its_back, "a/1", damage, mode="overwrite")
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
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The file and every folder name that leads to it were synced when `put` returns."""
    synced, really = [], os.fsync

    def watched(descriptor: int) -> None:
        really(descriptor)
        synced.append(Path(f"/proc/self/fd/{descriptor}").readlink())

    root = tmp_path / "a folder"
    store = ArtifactStore(root.as_uri())
    monkeypatch.setattr(os, "fsync", watched)
    store.put("a/b/1", b"x")
    assert synced == [root / "a" / "b" / "1", root / "a" / "b", root / "a", root]


def test_a_store_that_is_away_says_so_in_time_and_in_one_line(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(store_module, "RETRY_SECONDS", 1)
    speak_s3(monkeypatch, "http://127.0.0.1:1")
    store = ArtifactStore(f"s3://{BUCKET}")
    began = time.monotonic()
    with pytest.raises(StoreError, match="cannot be written") as caught:
        store.put("a/1", b"x")
    assert time.monotonic() - began < 10
    assert "\n" not in str(caught.value)


@pytest.mark.parametrize("as_file", [False, True])
def test_what_cannot_be_written_whole_leaves_nothing(tmp_path: Path, as_file: bool) -> None:
    """No file may grow beyond a megabyte: what a full disk does, without being root."""
    store, data = ArtifactStore((tmp_path / "store").as_uri()), bytes(4_000_000)
    source = tmp_path / "source"
    source.write_bytes(data)
    soft, hard = resource.getrlimit(resource.RLIMIT_FSIZE)
    resource.setrlimit(resource.RLIMIT_FSIZE, (1_000_000, hard))
    try:
        with pytest.raises(StoreError, match="cannot be written"):
            store.put("a/1", source if as_file else data)
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, (soft, hard))
    assert [path for path in (tmp_path / "store").rglob("*") if path.is_file()] == []
    store.put("a/1", data)
