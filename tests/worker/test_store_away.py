"""A store across a network that goes away in the middle of a slice, refusing or hanging."""

import contextlib
import threading
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path
from urllib.parse import urlparse

import pytest

from tests.worker.conftest import NewDatabase
from tests.worker.network import Line, State
from tests.worker.servers import s3
from tests.worker.test_damage import CONFIG, one_slice, told
from tests.worker.test_store import BUCKET, speak_s3
from worker import datasets, submissions
from worker import store as store_module
from worker.backend import Backend
from worker.errors import StoreError
from worker.records import Job, JobState
from worker.settings import Settings
from worker.store import ArtifactStore

TEXT = b"what is your name : Jay\nwhat is capital of India : Delhi\nok\n" * 4


@pytest.fixture
def database_url(sqlite_database: NewDatabase) -> str:
    """One kind is enough: it is the store that goes away."""
    return sqlite_database()


@pytest.fixture
def line() -> Iterator[Line]:
    with s3(BUCKET) as endpoint, contextlib.closing(Line(urlparse(endpoint).port or 0)) as opened:
        yield opened


@pytest.fixture
def far(
    backend: Backend, line: Line, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> Iterator[Backend]:
    """The backend with its artifacts behind that line, slices of a second, a lease of two."""
    speak_s3(monkeypatch, f"http://127.0.0.1:{line.port}")
    monkeypatch.setattr(store_module, "REQUEST_SECONDS", 2)
    monkeypatch.setattr(store_module, "RETRY_SECONDS", 1)
    quick = {"slice_seconds": 0.6, "lease_seconds": 2.0}
    settings: Settings = backend.settings.model_copy(update=quick)
    store = ArtifactStore(f"s3://{BUCKET}/{tmp_path.name}")
    yield replace(backend, settings=settings, store=store)
    line.set("works")  # or what hangs would hang for ever


@pytest.fixture
def job(far: Backend) -> Job:
    text = datasets.create(far, "ann", name="text", data=TEXT, layout="text")
    endless = CONFIG | {"training": CONFIG["training"] | {"epochs": 6000}}
    return submissions.submit_train(far, "ann", name="text", dataset=text.id, config=endless)


@pytest.mark.parametrize("state", ["refuses", "hangs"])
def test_a_slice_whose_store_goes_away_is_done_again(
    far: Backend, job: Job, line: Line, state: State
) -> None:
    before = one_slice(far)
    breaks = threading.Timer(0.3, line.set, (state,))
    breaks.start()
    waiting = one_slice(far)  # raises LeaseLost if the lease was not kept while the store hung
    breaks.join()
    assert (waiting.state, waiting.attempts) == (JobState.QUEUED, 0)
    assert waiting.checkpoint == before.checkpoint
    assert one_slice(far).state is JobState.QUEUED  # found out before it trains
    assert told(far, job).count("will be tried again") == 2
    line.set("works")
    after = one_slice(far)
    assert after.slices == before.slices + 1
    assert after.previous_checkpoint == before.checkpoint


def test_a_large_file_has_the_time_that_a_slow_line_takes(
    monkeypatch: pytest.MonkeyPatch, line: Line
) -> None:
    speak_s3(monkeypatch, f"http://127.0.0.1:{line.port}")
    monkeypatch.setattr(store_module, "REQUEST_SECONDS", 1)
    store = ArtifactStore(f"s3://{BUCKET}/slow")
    with monkeypatch.context() as slow:
        slow.setattr(store_module, "SLOWEST_BYTES_A_SECOND", 100_000)
        line.delay_seconds = 1.5  # longer than a small file is waited for
        with pytest.raises(StoreError):
            store.put("small", b"small")
        stored = store.put("large", bytes(400_000))
        line.delay_seconds = 0.2  # of each of its pieces
        assert len(store.read(stored)) == 400_000
