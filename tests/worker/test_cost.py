"""What a slice costs the records: the same for every slice and however many jobs there are."""

import sqlalchemy as sa

from tests.worker.conftest import Submit
from tests.worker.test_leases import claimed
from worker import leases
from worker.backend import Backend
from worker.records import JobState, Progress, StoredFile

MOST_STATEMENTS = 13


def statements_of_a_slice(backend: Backend) -> int:
    """Of one that looks for wishes, renews its lease and tells one thing."""
    seen: list[str] = []

    def note(_connection: object, _cursor: object, statement: str, *_: object) -> None:
        if not statement.startswith("BEGIN"):
            seen.append(statement)

    sa.event.listen(backend.database.engine, "before_cursor_execute", note)
    claim = claimed(backend)
    number = claim.job.slices + 1
    leases.wanted(backend, claim)
    leases.renew(backend, claim, Progress(step=number), {})
    leases.record(backend, claim, [("metrics", {"step": number}, f"metrics:{number}")])
    publication = leases.Publication(
        state=JobState.RUNNING,
        progress=Progress(step=number),
        checkpoint=StoredFile(f"checkpoints/{number}", "0" * 64, 1),
        slice={"from_step": 0, "to_step": number, "seconds": 1.0},
    )
    leases.publish(backend, claim, publication)
    sa.event.remove(backend.database.engine, "before_cursor_execute", note)
    return len(seen)


def test_every_slice_sends_the_same_few_statements(backend: Backend, submit: Submit) -> None:
    submit()
    first, *later = [statements_of_a_slice(backend) for _ in range(4)]
    assert first <= MOST_STATEMENTS
    assert set(later) == {first - 1}  # only the first tells that the job runs
    for _ in range(5):
        submit()
    in_a_queue = [statements_of_a_slice(backend) for _ in range(12)]
    assert set(in_a_queue) == {first, first - 1}
    assert in_a_queue.count(first) == 5
