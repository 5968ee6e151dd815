"""Keeps the lease of a running slice, from a thread beside the training.

Every tick it looks whether the owner asked for something, sends events and live progress on their
way, and extends the lease in time. When it cannot extend the lease for three quarters of its length
it gives the slice up by itself: by then another worker may be about to take it. When no step was
taken for LSTMQ_HANG_SECONDS it lets the lease run out, so that a hung process cannot keep a job for
ever; ending the process is its parent's part (`beats`).
"""

import logging
import threading
import time
from types import TracebackType
from typing import Self

from worker import leases, logs
from worker.backend import Backend
from worker.beats import Heart
from worker.errors import LeaseLost, Unavailable
from worker.records import Json, Progress

log = logging.getLogger(__name__)

TICK_SECONDS = 0.5  # whoever watches sees what happened within a second


class LeaseKeeper:
    """Use as a context around the slice; ask `should_stop` at every step."""

    def __init__(
        self, backend: Backend, claim: leases.Claim, worker: str, heart: Heart | None = None
    ) -> None:
        lease = backend.settings.lease_seconds
        self._backend, self._claim, self._worker = backend, claim, worker
        self._tick_seconds = min(TICK_SECONDS, lease / 8)
        self._renew_seconds, self._give_up_seconds = lease / 4, lease * 3 / 4
        self._events: list[tuple[str, Json, str | None]] = []
        self._lock = threading.Lock()
        self._ended = threading.Event()
        self._thread = threading.Thread(target=self._keep, name="lease-keeper", daemon=True)
        self._heart = heart or Heart()
        self._hang_seconds = backend.settings.hang_seconds
        self._renewed_at = self._step_at = time.monotonic()
        self._began_at = time.time()
        self.progress, self.metrics = claim.job.progress, claim.job.metrics
        self.pending: str | None = None
        self.lost = False

    def __enter__(self) -> Self:
        self._heart.beat()
        self._thread.start()
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        self._ended.set()
        self._thread.join()
        self._heart.rest()
        self._backend.live.report_current(self._worker, None)

    @property
    def should_stop(self) -> bool:
        """Whether the slice should end at this step; asking is a sign of life."""
        self.is_alive()
        return self.lost or self.pending is not None

    def is_alive(self) -> None:
        """Note that the slice gets on."""
        self._step_at = time.monotonic()
        self._heart.beat()

    def tell(self, kind: str, data: Json, key: str | None = None) -> None:
        """Queue an event; it is written at the next tick."""
        with self._lock:
            self._events.append((kind, data, key))

    def report(self, progress: Progress, metrics: Json) -> None:
        """What the next tick shows to those who watch."""
        # What a lost holder has shown is not taken back: it is passed again soon.
        self.progress, self.metrics = progress.not_behind(self._claim.job.progress), metrics

    def settle(self) -> None:
        """Write the events that are left. Raises LeaseLost when the slice must not be published."""
        if self.lost:
            raise LeaseLost(f"the lease of {self._claim.job.id} could not be kept")
        self._flush()

    def _keep(self) -> None:
        with logs.about(job=self._claim.job.id, request=self._claim.request_id):
            self._keep_until_the_end()

    def _keep_until_the_end(self) -> None:
        while not self._ended.wait(self._tick_seconds):
            try:
                self._tick()
            except LeaseLost:
                self.lost = True
            except Unavailable as error:
                log.warning("%s", error)
            if time.monotonic() - self._renewed_at > self._give_up_seconds:
                self.lost = True
            if time.monotonic() - self._step_at > self._hang_seconds:
                log.error("no step for %g s: the slice is given up", self._hang_seconds)
                self.lost = True
            if self.lost:
                return

    def _tick(self) -> None:
        self._backend.live.report_current(self._worker, self._claim.job.id, self._began_at)
        self._backend.live.report_progress(self._claim.job.id, self.progress, self.metrics)
        self._flush()
        asked_at = time.monotonic()
        if asked_at - self._renewed_at >= self._renew_seconds:
            self.pending = leases.renew(self._backend, self._claim, self.progress, self.metrics)
            self._renewed_at = asked_at
        else:
            self.pending = leases.wanted(self._backend, self._claim)

    def _flush(self) -> None:
        with self._lock:
            waiting, self._events = self._events, []
        if not waiting:
            return
        try:
            leases.record(self._backend, self._claim, waiting)
        except Unavailable:
            with self._lock:
                self._events = waiting + self._events
            raise
