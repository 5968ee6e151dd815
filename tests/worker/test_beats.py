"""A pool's parent ends the child that takes no step, and only that one."""

import os
import signal
import time
from dataclasses import replace

from tests.processes import eventually
from tests.worker.conftest import Submit
from tests.worker.test_leases import claimed
from worker import beats
from worker.backend import Backend
from worker.keeping import LeaseKeeper


def child(index: int, *, beats_on: bool, rests: bool = False) -> int:
    """A forked process with a place in the pool."""
    if pid := os.fork():
        return pid
    heart = beats.Heart(index)
    heart.beat()
    if rests:
        heart.rest()
    while True:
        time.sleep(0.05)
        if beats_on:
            heart.beat()


def test_only_the_silent_child_is_ended() -> None:
    working, resting = child(1, beats_on=True), child(2, beats_on=False, rests=True)
    silent = child(3, beats_on=False)
    try:
        assert beats.silent(60.0) == []
        eventually(lambda: beats.silent(0.6) == [silent])
        beats.end(silent)
        assert os.waitstatus_to_exitcode(os.waitpid(silent, 0)[1]) == -signal.SIGKILL
        eventually(lambda: beats.silent(0.6) == [])
        for pid in (working, resting):
            assert os.waitpid(pid, os.WNOHANG) == (0, 0)
    finally:
        for pid in (working, resting):
            os.kill(pid, 9)
            os.waitpid(pid, 0)


def test_a_lease_without_steps_is_not_kept(backend: Backend, submit: Submit) -> None:
    submit()
    hurried = backend.settings.model_copy(update={"lease_seconds": 4.0, "hang_seconds": 2.0})
    short = replace(backend, settings=hurried)
    with LeaseKeeper(short, claimed(short), "worker") as keeper:
        for _ in range(25):  # longer than it may hang, shorter than the lease
            time.sleep(0.1)
            assert not keeper.should_stop
        eventually(lambda: keeper.lost)
