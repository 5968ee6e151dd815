"""The Celery tasks and the life of a worker process. Thin: every task only translates.

The parent of a training pool never imports torch (a forked child would hang) and keeps no database
connection open; the child opens its own backend. A predictor has no children and loads torch when
it starts, so that the first request need not wait for it.
"""

import contextlib
import logging
import os
import signal
import socket
import threading
import time
from dataclasses import replace
from pathlib import Path
from typing import Any

from billiard.exceptions import WorkerLostError
from billiard.process import current_process
from celery import signals

from worker import beats, cores, guard, leases, logs, release, shutdown
from worker.backend import Backend, open_backend
from worker.errors import LeaseLost, NewerRecords, OtherVersion, StoreError, Unavailable
from worker.queue import ADVANCE_JOB, ANSWER_QUESTIONS, QueueName, app
from worker.records import WorkerInfo

log = logging.getLogger(__name__)

REPORT_SECONDS = 3.0
PRELOAD_SECONDS = STAND_IN_SECONDS = 5.0
LOOK_SECONDS = 0.5
LAST_SECONDS = 15.0  # that a worker which hears nothing is given to stop by itself
HUNG = "the training process took no step for too long (LSTMQ_HANG_SECONDS) and was ended"


class Process:
    """What one worker process holds; made in the process that uses it."""

    backend: Backend | None = None
    hung: bool = False  # the child that is about to be missed was ended by us
    heart: beats.Heart | None = None  # of a pool's child
    ear: guard.Ear | None = None  # of the process that takes the messages
    working: bool = False  # on a task, in this very process
    runner: Any = None  # SliceRunner or Predictor: importing either loads torch

    def open(self) -> Backend:
        """The backend of this process."""
        if self.backend is None:
            in_child = self.heart is not None
            self.backend = open_backend(pooled=self.runner is not None, migrate=not in_child)
        return self.backend

    def slice_runner(self, worker: str) -> Any:
        """The runner of training slices; the first call takes the seconds torch takes."""
        if self.runner is None:
            self.backend = open_backend(migrate=False)
            cores.limit(cores.threads(self.backend.settings.threads, self.backend.live))
            from worker.slices import SliceRunner  # noqa: PLC0415 - loads torch

            self.runner = SliceRunner(self.backend, worker, self.heart)
        return self.runner

    def predictor(self, worker: str) -> Any:
        """The predictor of this process, likewise."""
        if self.runner is None:
            self.backend = open_backend(migrate=False)
            cores.limit(min(self.backend.settings.threads or 1, cores.most()))
            from worker.predictions import Predictor  # noqa: PLC0415 - loads torch

            self.runner = Predictor(self.backend, worker, shutdown.begun)
        return self.runner


_process = Process()


@app.task(bind=True, name=ADVANCE_JOB)
def advance_job(task: Any) -> None:
    """Run one slice of the job whose turn it is; nothing when there is none.

    While Redis takes no messages nobody would ring for the next slice: then this worker goes on by
    itself, always with the job whose turn it is.
    """
    queue: QueueName = task.request.delivery_info["routing_key"]
    worker = str(task.request.hostname)
    if shutdown.begun():
        # Taken from the queue in the last moment: somebody else should have it.
        _process.open().doorbell.ring(queue)
        return
    runner = _process.predictor(worker) if queue == "predict" else _process.slice_runner(worker)
    backend = _process.open()
    while (claim := leases.claim(backend, queue, owner=_holder(task.request))) is not None:
        with logs.about(job=claim.job.id, request=claim.request_id):
            _advance(backend, runner, claim)
        if shutdown.begun() or not backend.doorbell.broken:
            return


def _advance(backend: Backend, runner: Any, claim: leases.Claim) -> None:
    began = time.monotonic()
    try:
        job = runner.run(claim)
    except LeaseLost as error:
        log.warning("%s", error)
    except (StoreError, Unavailable, OtherVersion) as error:
        log.warning("a slice of %s could not be done: %s", claim.job.id, error)
        with contextlib.suppress(Unavailable):  # then the lease runs out by itself
            leases.postpone(backend, claim, error)
    except Exception as error:
        log.exception("a slice of %s failed", claim.job.id)
        leases.give_back(backend, claim.owner, f"{type(error).__name__}: {error}")
    else:
        measured = {"slice": job.slices, "seconds": round(time.monotonic() - began, 3)}
        log.info("%s is %s", job.id, job.state, extra=measured)


@app.task(bind=True, name=ANSWER_QUESTIONS)
def answer_questions(task: Any) -> None:
    """Answer everybody who waits, and whoever comes meanwhile."""
    if shutdown.begun():
        _process.open().doorbell.send(ANSWER_QUESTIONS, (), "predict")
        return
    _process.predictor(str(task.request.hostname)).serve()


@signals.setup_logging.connect
def _write_lines(**_: Any) -> None:
    """Instead of Celery's own: the service's processes write alike."""
    logs.configure("worker")


@signals.worker_process_init.connect
def _child_started(**_: Any) -> None:
    """In a pool's child: use nothing of the parent's, and be the first to go when memory is out."""
    global _process  # noqa: PLW0603 - one process, one holder
    index = getattr(current_process(), "index", None)
    if index is None:  # the solo pool, whose only process is no child
        return
    _process = Process()
    _process.heart = beats.Heart(index)
    _process.heart.rest()  # whatever a dead child left in its place
    with contextlib.suppress(OSError):
        Path("/proc/self/oom_score_adj").write_text("1000")
    threading.Thread(target=_beside_the_work, name="beside", daemon=True).start()


def _beside_the_work() -> None:
    """In a pool's child: whoever comes next need not wait for torch, and somebody always sweeps."""
    time.sleep(PRELOAD_SECONDS)  # a short life, and others that start, are not burdened
    backend = open_backend(pooled=False, migrate=False)
    cores.limit(cores.threads(backend.settings.threads, backend.live))
    import worker.slices  # noqa: F401, PLC0415 - for its effect

    while True:
        time.sleep(STAND_IN_SECONDS)
        guard.stand_in(backend)


@signals.worker_ready.connect
def _worker_started(sender: Any, **_: Any) -> None:
    queue: QueueName = "predict" if "predict" in sender.app.amqp.queues.consume_from else "train"
    try:
        backend = _process.open()
    except (NewerRecords, StoreError, Unavailable) as error:
        log.error("this worker cannot start: %s", error)
        raise SystemExit(1) from error
    info = WorkerInfo(
        name=sender.hostname,
        queue=queue,
        host=socket.gethostname(),
        pid=os.getpid(),
        started_at=time.time(),
        seen_at=time.time(),
        job=None,
        threads=0,
        version=release.VERSION,
        tables=release.TABLES,
        place=cores.place(),
    )
    for work, arguments in ((_report_for_ever, (backend, info)), (_listen, (backend, queue))):
        threading.Thread(target=work, args=arguments, name=work.__name__, daemon=True).start()
    if queue == "train":
        if sender.hub is not None:  # the pool itself looks for dead children every five seconds
            sender.hub.call_repeatedly(LOOK_SECONDS, sender.pool._pool.maintain_pool)
        seconds = backend.settings.hang_seconds
        threading.Thread(
            target=_end_the_hung, args=(seconds,), name="worker-watch", daemon=True
        ).start()
    if queue == "predict":
        _process.predictor(sender.hostname)


def _report_for_ever(backend: Backend, info: WorkerInfo) -> None:
    while not shutdown.begun():
        # The cores may be others by now, and whoever shares them.
        info = replace(info, seen_at=time.time(), threads=_threads(backend, info.queue))
        backend.live.report_worker(info)
        time.sleep(REPORT_SECONDS)
    backend.live.forget_worker(info.name)


def _threads(backend: Backend, queue: QueueName) -> int:
    """What this process computes with now. Predictors never share: a step is too small for it."""
    asked = backend.settings.threads
    return cores.threads(asked if queue == "train" else asked or 1, backend.live)


def _listen(backend: Backend, queue: QueueName) -> None:
    """End this worker when it is deaf: another one is started in its place."""
    _process.ear = guard.Ear(backend, queue, lambda: _process.working or beats.working())
    while not _process.ear.is_deaf():
        time.sleep(REPORT_SECONDS)
    log.error("messages wait and none is taken: this worker ends")
    os.kill(os.getpid(), signal.SIGTERM)
    time.sleep(LAST_SECONDS)
    os._exit(os.EX_TEMPFAIL)


@signals.task_received.connect
def _message_taken(**_: Any) -> None:
    if _process.ear is not None:
        _process.ear.heard()


@signals.task_prerun.connect
def _task_begun(**_: Any) -> None:
    _process.working = True


@signals.task_postrun.connect
def _task_ended(**_: Any) -> None:
    _process.working = False


def _end_the_hung(seconds: float) -> None:
    """In the parent: a child that hangs would keep this worker from all other jobs too."""
    while True:  # also while it shuts down, which waits for the child
        time.sleep(min(REPORT_SECONDS, seconds / 4))
        for pid in beats.silent(seconds):
            log.error("no step for %g s: process %d is ended", seconds, pid)
            _process.hung = True  # before the pool can miss it
            beats.end(pid)


@signals.worker_shutting_down.connect
def _stop_children(**_: Any) -> None:
    shutdown.begin()


@signals.task_failure.connect(sender=advance_job)
def _child_died(sender: Any, exception: BaseException, **_: Any) -> None:
    """In the parent: a child that died cannot give its lease back by itself."""
    if isinstance(exception, WorkerLostError):
        hung, _process.hung = _process.hung, False
        reason = (
            HUNG
            if hung
            else (
                f"the training process was ended from outside ({exception}); "
                "signal 9 mostly means that the machine ran out of memory: "
                "a smaller model or batch needs less"
            )
        )
        leases.give_back(_process.open(), _holder(sender.request), reason)


def _holder(request: Any) -> str:
    """Who holds a lease. Not the message's id alone: two workers may get the same message."""
    return f"{request.id}@{request.hostname}"[:200]
