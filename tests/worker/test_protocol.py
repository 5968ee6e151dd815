"""The whole protocol in any order: owners, workers, zombies, lost leases and the sweep.

Hypothesis drives the real functions on the real database and compares the records, after every
step, with a small model of what was promised. `--hypothesis-profile=thorough` looks further.
"""

import time
from collections import deque
from collections.abc import Callable
from dataclasses import dataclass, field
from itertools import count

import pytest
from hypothesis import settings
from hypothesis import strategies as st
from hypothesis.stateful import (
    RuleBasedStateMachine,
    initialize,
    invariant,
    precondition,
    rule,
    run_state_machine_as_test,
)

from tests.worker.conftest import LINES
from tests.worker.protocol_records import Records
from worker import clock, datasets, jobs, leases, recovery, submissions
from worker.backend import Backend
from worker.errors import LeaseLost, NotFound, StoreError, WrongState
from worker.leases import Claim, Publication
from worker.records import FINAL_STATES, Job, JobState, Json, Priority, Progress, StoredFile

OWNERS = ("ann", "bob", "cat")
WORKERS = ("one", "two", "three")
MOST_JOBS, MOST_ALIVE = 4, 4  # few of each, so that what happens happens to the same ones
TICK_SECONDS = 0.002  # SQLite's clock counts milliseconds: two claims in one would be a draw
Move = Callable[[Backend, str, str], Job]


@dataclass
class Promised:
    """What must be true of one job."""

    owner: str
    epoch: int = 0  # of the newest claim
    slices: int = 0
    step: int = 0  # of the newest publication
    checkpoint: str | None = None
    candidate: bool = False
    final: Json | None = None  # the record when it became final
    claims: list[Claim] = field(default_factory=list)  # all that were ever handed out


class Protocol(RuleBasedStateMachine):
    """Three owners, three workers, one queue."""

    def __init__(self, backend: Backend) -> None:
        super().__init__()
        self.backend, self.records = backend, Records(backend)
        self.records.clear()
        self.messages = count(1)
        # Claims whose worker still lives, or believes that it does; older ones have vanished.
        self.alive: deque[Claim] = deque(maxlen=MOST_ALIVE)
        self.promised: dict[str, Promised] = {}
        self.texts = {
            owner: datasets.create(backend, owner, name="text", data=LINES.encode()).id
            for owner in OWNERS
        }

    # -- owners -----------------------------------------------------------------------------------

    @initialize(owners=st.lists(st.sampled_from(OWNERS), min_size=1, max_size=3))
    def some_wait_already(self, owners: list[str]) -> None:
        for owner in owners:
            self.submit(owner, priority=Priority.NORMAL)

    @precondition(lambda self: len(self.promised) < MOST_JOBS)
    @rule(owner=st.sampled_from(OWNERS), priority=st.sampled_from(Priority))
    def submit(self, owner: str, priority: Priority) -> None:
        time.sleep(TICK_SECONDS)
        job = submissions.submit_train(
            self.backend,
            owner,
            name=None,
            dataset=self.texts[owner],
            config={"preset": "tutorial"},
            priority=priority,
        )
        self.promised[job.id] = Promised(owner)

    @precondition(lambda self: self.promised)
    @rule(
        data=st.data(),
        move=st.sampled_from((jobs.cancel, jobs.pause, jobs.pause, jobs.resume, jobs.resume)),
    )
    def ask(self, data: st.DataObject, move: Move) -> None:
        worked_on = [claim.job.id for claim in self.alive if claim.job.id in self.promised]
        identifier = data.draw(st.sampled_from([*self.promised, *worked_on]), label="job")
        owner = self.promised[identifier].owner
        before = jobs.get(self.backend, owner, identifier)
        allowed = {
            jobs.cancel: not before.state.final,
            jobs.pause: before.state in (JobState.QUEUED, JobState.RUNNING)
            and before.pending != "cancel",
            jobs.resume: before.state is JobState.PAUSED or before.pending == "pause",
        }[move]
        if not allowed:
            with pytest.raises(WrongState) as refused:
                move(self.backend, owner, identifier)
            assert refused.value.state == before.state
            return
        after = move(self.backend, owner, identifier)
        if move is jobs.cancel:
            assert after.state is JobState.CANCELLED or after.pending == "cancel"
        elif move is jobs.pause:
            assert after.state is JobState.PAUSED or after.pending == "pause"
        else:
            assert after.pending is None

    @precondition(lambda self: any(each.final for each in self.promised.values()))
    @rule(data=st.data())
    def delete(self, data: st.DataObject) -> None:
        identifier = data.draw(st.sampled_from(list(self.promised)), label="job")
        owner = self.promised[identifier].owner
        if jobs.get(self.backend, owner, identifier).state.final:
            jobs.delete(self.backend, owner, identifier)
            with pytest.raises(NotFound):
                jobs.get(self.backend, owner, identifier)
            del self.promised[identifier]
        else:
            with pytest.raises(WrongState):
                jobs.delete(self.backend, owner, identifier)

    # -- workers ----------------------------------------------------------------------------------

    @rule(worker=st.sampled_from(WORKERS))
    def claim(self, worker: str) -> None:
        looked_at, line = self.records.now(), self.records.line()
        time.sleep(TICK_SECONDS)
        claim = leases.claim(self.backend, "train", f"{next(self.messages)}@{worker}")
        if claim is None:
            assert line == []
            return
        if line[:1] != [claim.job.id]:  # its wait ended meanwhile
            assert self.records.rows()[claim.job.id].not_before > looked_at
        promised = self.promised[claim.job.id]
        assert claim.epoch > promised.epoch
        assert claim.job.slices == promised.slices
        promised.epoch = claim.epoch
        promised.claims.append(claim)
        self.alive.append(claim)

    @precondition(lambda self: self.alive)
    @rule(data=st.data(), steps=st.integers(1, 3))
    def renew(self, data: st.DataObject, steps: int) -> None:
        claim = self.one_of_the_living(data)
        promised, holds = self.promised.get(claim.job.id), self.holds(claim)
        step = (promised.step if promised else 0) + steps
        told = ("metrics", {"step": step}, f"metrics:{step}")
        try:
            leases.record(self.backend, claim, [told, told])
        except LeaseLost:
            assert not holds, "a zombie told something"
        else:
            assert holds
        try:
            pending = leases.renew(self.backend, claim, Progress(step=step), {})
        except LeaseLost:
            assert not holds
        else:
            assert holds
            assert pending == jobs.get(self.backend, claim.job.owner, claim.job.id).pending

    @precondition(lambda self: self.alive)
    @rule(
        data=st.data(),
        steps=st.integers(0, 3),
        state=st.sampled_from((*[JobState.RUNNING] * 4, JobState.SUCCEEDED, JobState.FAILED)),
        better=st.booleans(),
    )
    def publish(self, data: st.DataObject, steps: int, state: JobState, better: bool) -> None:
        claim = self.one_of_the_living(data)
        promised, holds = self.promised.get(claim.job.id), self.holds(claim)
        publication = slice_of(claim, (promised.step if promised else 0) + steps, state, better)
        try:
            job = leases.publish(self.backend, claim, publication)
        except LeaseLost:
            assert not holds
            return
        assert holds
        assert promised is not None
        assert promised.slices == claim.job.slices, "one slice was published twice"
        promised.slices += 1
        promised.step = publication.progress.step
        if publication.checkpoint:
            promised.checkpoint = publication.checkpoint.key
        promised.candidate |= better
        if state.final:
            assert job.state is state, "a finish wins over what was asked too late"
        assert job.pending is None

    @precondition(lambda self: self.alive)
    @rule(data=st.data())
    def die(self, data: st.DataObject) -> None:
        """The training child is gone, its parent lives."""
        claim = self.one_of_the_living(data)
        holds = self.holds(claim)
        asked = self.records.pending(claim.job.id)
        self.alive.remove(claim)
        given = leases.give_back(self.backend, claim.owner, "signal 9")
        if not holds:
            assert given is None, "a zombie ended the lease of its heir"
            return
        assert given is not None
        assert given.id == claim.job.id
        if asked == "cancel":
            assert given.state is JobState.CANCELLED
        elif asked == "pause":
            assert given.state in (JobState.PAUSED, JobState.FAILED)

    @precondition(lambda self: self.alive)
    @rule(data=st.data())
    def store_is_away(self, data: st.DataObject) -> None:
        """What was trained cannot be kept; its worker lives and believes it holds the job still."""
        claim = self.one_of_the_living(data)
        holds, asked = self.holds(claim), self.records.pending(claim.job.id)
        waiting = leases.postpone(self.backend, claim, StoreError("the disk is full"))
        if not holds:
            assert waiting is None, "a zombie ended the lease of its heir"
            return
        assert waiting is not None
        expected = {"cancel": JobState.CANCELLED, "pause": JobState.PAUSED}
        assert waiting.state is expected.get(asked or "", JobState.QUEUED)
        assert waiting.attempts == claim.job.attempts

    # -- time and the sweep -----------------------------------------------------------------------

    @rule(seconds=st.sampled_from((0.5, 3.0, 25.0, 70.0)))
    def time_passes(self, seconds: float) -> None:
        self.records.pass_time(seconds)

    @rule(seconds=st.sampled_from((5.0, 3600.0)))
    def clock_is_set_back(self, seconds: float) -> None:
        """As the sweep sees it; a clock set forward is time that passes."""
        self.records.pass_time(-seconds)
        clock.mend(self.backend, 0.0)
        assert clock.mend(self.backend, 0.0) == 0

    @precondition(lambda self: self.alive)
    @rule(data=st.data(), noticed=st.booleans())
    def lease_runs_out(self, data: st.DataObject, noticed: bool) -> None:
        claim = self.one_of_the_living(data)
        if self.holds(claim):
            self.records.end_lease(claim.job.id)
            if noticed:
                self.sweep()

    @precondition(lambda self: len(self.promised) == MOST_JOBS)
    @rule()
    def the_queue_is_wiped(self) -> None:
        self.records.wipe_queue()

    @rule()
    def sweep(self) -> None:
        asked = self.records.overdue_wishes()
        recovery.sweep(self.backend)
        for identifier, pending in asked.items():
            state = self.records.rows()[identifier].state
            assert state == {"cancel": JobState.CANCELLED, "pause": JobState.PAUSED}[pending]
        assert recovery.sweep(self.backend).recovered == 0

    # -- what is always true ----------------------------------------------------------------------

    @invariant()
    def records_say_what_was_published(self) -> None:
        rows = self.records.rows()
        assert rows.keys() == self.promised.keys()
        for identifier, promised in self.promised.items():
            row = rows[identifier]
            assert row.slices == promised.slices
            assert row.lease_epoch >= promised.epoch
            assert row.progress["step"] >= promised.step
            assert (row.checkpoint or {}).get("key") == promised.checkpoint
            assert bool(row.candidate) == promised.candidate
            assert (row.lease_until is None) == (row.lease_owner is None)
            assert row.lease_until is None or row.state == JobState.RUNNING
            assert row.pending is None or row.lease_until is not None
            if promised.final is not None:
                assert row._asdict() == promised.final, "a final record changed"
            elif row.state in FINAL_STATES:
                promised.final = row._asdict()

    @invariant()
    def a_job_has_one_holder(self) -> None:
        for promised in self.promised.values():
            assert sum(self.holds(claim) for claim in promised.claims[-3:]) <= 1

    @invariant()
    def the_story_is_told_once(self) -> None:
        stories, rows = self.records.stories(), self.records.rows()
        for identifier, promised in self.promised.items():
            story = stories[identifier]
            slices = [event.data["number"] for event in story if event.type == "slice"]
            assert slices == list(range(1, promised.slices + 1))
            keys = [event.key for event in story if event.key]
            assert len(keys) == len(set(keys))
            ends = [event for event in story if event.data.get("state") in FINAL_STATES]
            assert len(ends) == (rows[identifier].state in FINAL_STATES)
            assert not ends or story[-1] == ends[0], "something was told after the end"

    @invariant()
    def a_training_that_learned_something_leaves_one_model(self) -> None:
        made, rows = self.records.models(), self.records.rows()
        for identifier, promised in self.promised.items():
            expected = promised.candidate and rows[identifier].state in FINAL_STATES
            assert made[identifier] == expected

    @invariant()
    def positions_have_no_gaps(self) -> None:
        while True:
            line = self.records.line()
            shown = [job for owner in OWNERS for job in jobs.list_page(self.backend, owner).data]
            if self.records.line() == line:  # nobody's wait has ended while we looked
                break
        waiting = {row.id for row in self.records.rows().values() if row.state == JobState.QUEUED}
        for job in shown:
            place = line.index(job.id) + 1 if job.id in line and job.id in waiting else None
            assert job.queue_position == place

    def teardown(self) -> None:
        """Whoever waits now is served in exactly the order that was shown."""
        self.records.pass_time(leases.LONGEST_POSTPONEMENT_SECONDS)  # nobody's wait ends meanwhile
        line = self.records.line()
        served = []
        while (claim := leases.claim(self.backend, "train", "last")) is not None:
            served.append(claim.job.id)
            time.sleep(TICK_SECONDS)
        assert served == line

    def one_of_the_living(self, data: st.DataObject) -> Claim:
        """Stays among them: the same slice may be published again by a late delivery."""
        return data.draw(st.sampled_from(list(self.alive)), label="claim")

    def holds(self, claim: Claim) -> bool:
        try:
            leases.wanted(self.backend, claim)
        except LeaseLost:
            return False
        return True


def slice_of(claim: Claim, step: int, state: JobState, better: bool) -> Publication:
    """What a worker makes of its claim: files under names of their own, as `slices` names them."""
    name = f"{claim.job.id}/{claim.job.slices + 1}-{claim.epoch}"
    model = {"model.safetensors": {"key": f"models/{name}", "sha256": "0" * 64, "bytes": 1}}
    failed = state is JobState.FAILED
    return Publication(
        state=state,
        progress=Progress(step=step, total_steps=100),
        checkpoint=None if failed else StoredFile(f"checkpoints/{name}", "0" * 64, 1),
        candidate={"step": step, "metrics": {}, "files": model} if better else None,
        stopped="finished" if state is JobState.SUCCEEDED else None,
        error={"code": "refused", "message": "no"} if failed else None,
        slice={"from_step": 0, "to_step": step, "seconds": 1.0},
    )


def test_no_order_of_events_breaks_a_promise(backend: Backend) -> None:
    every_nth = 10 if backend.database.url.get_backend_name() == "sqlite" else 20  # it is slower
    few = settings(max_examples=settings().max_examples // every_nth, stateful_step_count=40)
    run_state_machine_as_test(lambda: Protocol(backend), settings=few)
