"""What nobody needs goes; what a record points at stays, whatever happens at the same moment."""

import contextlib
import os
import threading
import time

import pytest
import sqlalchemy as sa

from tests.worker.conftest import LINES, Submit
from tests.worker.publishing import busy, one_slice
from tests.worker.test_leases import claimed
from worker import database, datasets, jobs, leases, models, retention, submissions, sweeps
from worker.backend import Backend
from worker.errors import NotFound, Unavailable, WrongState
from worker.records import JobState
from worker.references import references
from worker.verification import verify

TUTORIAL = {"preset": "tutorial"}


def in_store(backend: Backend) -> set[str]:
    return {key for key, _ in backend.store.written()}


def test_only_old_artifacts_without_a_record_are_removed(backend: Backend, submit: Submit) -> None:
    submit()
    one_slice(backend)
    backend.store.put("checkpoints/job-gone/1-1.safetensors", b"x")
    needed = in_store(backend) - {"checkpoints/job-gone/1-1.safetensors"}
    assert retention.collect(backend) == []  # young: its record may be on its way
    assert backend.store.folder is not None
    old = time.time() - retention.ORPHAN_SECONDS - 5
    for key in in_store(backend):
        os.utime(backend.store.folder / key, (old, old))
    assert retention.collect(backend) == ["checkpoints/job-gone/1-1.safetensors"]
    assert in_store(backend) == needed


def test_what_a_killed_writer_left_is_removed(backend: Backend) -> None:
    assert backend.store.folder is not None
    (backend.store.folder / "checkpoints").mkdir()
    (backend.store.folder / "checkpoints" / "1-1.safetensors#7").write_bytes(b"half")
    assert retention.collect(backend, older_than=-1) == ["checkpoints/1-1.safetensors#7"]
    assert in_store(backend) == set()


def test_a_collector_never_removes_what_a_record_points_at(
    backend: Backend, submit: Submit
) -> None:
    """Collections without any grace race publications; then everything is read."""
    for number in range(3):
        submit(name=f"job {number}")
    with busy(backend) as errors:
        deadline = time.monotonic() + 5.0
        collections = 0
        while time.monotonic() < deadline:
            retention.collect(backend, older_than=-1)
            found = verify(backend)
            assert found.good, (found.missing, found.damaged)
            collections += 1
    assert errors == []
    assert collections > 5
    for _ in range(3):
        one_slice(backend, last=True)
    retention.collect(backend, older_than=-1)
    assert verify(backend).good
    assert len(models.list_page(backend, "ann").data) == 3


def test_what_the_holder_of_a_lease_has_stored_stays(backend: Backend, submit: Submit) -> None:
    job = submit()
    claim = claimed(backend)
    key = f"checkpoints/{job.id}/1-{claim.epoch}.safetensors"
    backend.store.put(key, b"x")
    assert retention.collect(backend, older_than=-1) == []
    leases.give_back(backend, claim.owner, "signal 9")  # now it can never be published
    assert retention.collect(backend, older_than=-1) == [key]


def test_a_text_stored_too_long_ago_gets_no_record(
    backend: Backend, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(retention, "LONGEST_PUBLICATION_SECONDS", -1.0)
    with pytest.raises(Unavailable):
        datasets.create(backend, "ann", name="late", data=LINES.encode())
    with backend.database.reading() as connection:
        assert references(connection) == {}


def test_a_text_that_came_with_a_job_goes_after_the_job(backend: Backend, submit: Submit) -> None:
    """And only then; a text that somebody stored for its own sake stays."""
    named, pasted = (
        datasets.create(backend, "ann", name=name, data=LINES.encode(), came_with_job=name == "p")
        for name in ("n", "p")
    )
    users = [
        submissions.submit_train(backend, "ann", name=None, dataset=text.id, config=TUTORIAL)
        for text in (named, pasted)
    ]
    made_old(backend, database.datasets, "created_at", days=31)
    assert retention.prune_texts(backend, days=30) == 0
    for job in users:
        jobs.cancel(backend, "ann", job.id)
    assert retention.prune_texts(backend, days=30) == 0  # a finished job still names its text
    for job in users:
        jobs.delete(backend, "ann", job.id)
    assert retention.prune_texts(backend, days=0) == 0
    assert retention.prune_texts(backend, days=32) == 0
    assert retention.prune_texts(backend, days=30) == 1
    assert [text.id for text in datasets.list_page(backend, "ann").data] == [named.id]
    assert set(retention.collect(backend, older_than=-1)) == {pasted.file.key}


def test_a_text_that_came_with_a_sweep_stays_while_it_runs(backend: Backend) -> None:
    text = datasets.create(backend, "ann", name="p", data=LINES.encode(), came_with_job=True)
    space = {"training.learning_rate": [0.001, 0.01]}
    sweep = sweeps.create(
        backend, "ann", name=None, dataset=text.id, config=TUTORIAL, space=space
    ).id
    with backend.database.writing() as connection:  # as long as no trial has begun
        connection.execute(sa.delete(database.jobs))
    made_old(backend, database.datasets, "created_at", days=31)
    assert retention.prune_texts(backend, days=30) == 0
    with pytest.raises(WrongState, match=sweep):
        datasets.delete(backend, "ann", text.id)
    sweeps.cancel(backend, "ann", sweep)
    assert retention.prune_texts(backend, days=30) == 1
    assert sweeps.get(backend, "ann", sweep).state is JobState.CANCELLED


def test_a_text_never_goes_while_a_job_is_accepted_for_it(backend: Backend) -> None:
    """Submits race the collector: accepted jobs keep their texts, the others say what is wrong."""
    accepted, stop = list[str](), threading.Event()

    def collect() -> None:
        while not stop.wait(0.02):
            retention.prune_texts(backend, days=1e-9)

    collector = threading.Thread(target=collect)
    collector.start()
    try:
        deadline = time.monotonic() + 2.0
        while time.monotonic() < deadline or not accepted:
            with contextlib.suppress(NotFound):
                text = datasets.create(
                    backend, "ann", name="t", data=LINES.encode(), came_with_job=True
                )
                job = submissions.submit_train(
                    backend, "ann", name=None, dataset=text.id, config=TUTORIAL
                )
                accepted.append(job.id)
                jobs.cancel(backend, "ann", job.id)
    finally:
        stop.set()
        collector.join()
    retention.collect(backend, older_than=-1)
    for identifier in accepted:
        kept = jobs.get(backend, "ann", identifier)
        datasets.load_corpus(backend, datasets.get(backend, "ann", str(kept.dataset)))


def test_old_checkpoints_go_and_models_stay(backend: Backend, submit: Submit) -> None:
    done, busy_one = submit(), submit()
    one_slice(backend)
    one_slice(backend)
    with backend.database.writing() as connection:
        connection.execute(
            sa.update(database.jobs)
            .where(database.jobs.c.id == busy_one.id)
            .values(not_before=1e11)
        )
    one_slice(backend, last=True)
    made_old(backend, database.jobs, "finished_at", days=31)
    assert retention.prune_checkpoints(backend, days=0) == 0
    assert retention.prune_checkpoints(backend, days=32) == 0
    assert retention.prune_checkpoints(backend, days=30) == 1
    assert retention.prune_checkpoints(backend, days=30) == 0
    removed = retention.collect(backend, older_than=-1)
    assert removed
    assert all(f"/{done.id}/" in key for key in removed if key.startswith("checkpoints/"))
    assert verify(backend).good
    final = jobs.get(backend, "ann", done.id)
    assert (final.checkpoint, final.previous_checkpoint) == (None, None)
    assert final.result is not None
    assert final.result["checkpoint"] is None
    models.get(backend, "ann", final.result["model"])
    assert jobs.get(backend, "ann", busy_one.id).checkpoint is not None


def made_old(backend: Backend, table: sa.Table, column: str, days: float) -> None:
    with backend.database.writing() as connection:
        older = {column: table.c[column] - days * 86_400}
        connection.execute(sa.update(table).where(table.c[column].is_not(None)).values(older))


def test_old_predictions_are_pruned_and_nothing_else(backend: Backend, submit: Submit) -> None:
    done = submit()
    one_slice(backend, last=True)
    (model,) = models.list_page(backend, "ann").data
    made = {
        name: submissions.submit_predict(
            backend, "ann", name=name, model=model.id, prompts=["a"], sampling={}
        )
        for name in ("old", "young", "waiting")
    }
    for name in ("old", "young"):
        claim = leases.claim(backend, "predict", name)
        assert claim is not None
        leases.publish(backend, claim, leases.Publication(state=JobState.SUCCEEDED, result={}))
    age = {made["old"].id: 31, made["young"].id: 29, done.id: 400}
    for identifier, days in age.items():
        with backend.database.writing() as connection:
            connection.execute(
                sa.update(database.jobs)
                .where(database.jobs.c.id == identifier)
                .values(finished_at=database.now() - days * 86_400)
            )
    assert retention.prune(backend, days=0) == 0
    assert retention.prune(backend, days=30) == 1
    with pytest.raises(NotFound):
        jobs.get(backend, "ann", made["old"].id)
    with backend.database.reading() as connection:
        told = sa.select(database.events.c.id).where(database.events.c.job == made["old"].id)
        assert connection.execute(told).all() == []
    for kept in (made["young"], made["waiting"], done):
        jobs.get(backend, "ann", kept.id)
