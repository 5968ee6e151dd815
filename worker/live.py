"""What may be lost at any moment: progress a second old, who is alive, what was counted.

Everything here is in Redis and expires by itself. No function decides anything about a job: when
Redis is gone, pages show a little less and predictions answer 503, nothing else.
"""

import json
import time
from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import asdict
from typing import Any

import redis
from redis.backoff import NoBackoff
from redis.retry import Retry

from worker.errors import Unavailable
from worker.records import Json, Progress, WorkerInfo

PREFIX = "lstmq:"
WORKER_SECONDS = 12  # a worker that has not reported for so long is gone
PROGRESS_SECONDS = 30
COUNTED_SECONDS = 120
# After Redis failed to answer, ask it again only after a moment: a frozen server must not cost
# every page its socket timeout.
SKIP_SECONDS = 2.0
BELIEVED_SECONDS = 1.0  # how many workers are alive, which is asked with every job


class Live:
    """A Redis client that knows our keys."""

    def __init__(self, url: str) -> None:
        self._redis = redis.Redis.from_url(
            url,
            socket_timeout=1.0,
            socket_connect_timeout=1.0,
            retry=Retry(NoBackoff(), 0),
            decode_responses=True,
        )
        self._skip_until = 0.0
        self._online: tuple[Counter[str] | None, float] | None = None

    def close(self) -> None:
        """Close every connection."""
        self._redis.close()

    def ping(self) -> None:
        """Raise Unavailable with the reason when Redis does not answer."""
        try:
            self._redis.ping()
        except redis.RedisError as error:
            raise Unavailable(f"Redis does not answer: {error}") from error

    # -- progress ---------------------------------------------------------------------------------

    def report_progress(self, job: str, progress: Progress, metrics: Json) -> None:
        """Best effort: a lost report is repaired by the next one."""
        value = json.dumps({"progress": asdict(progress), "metrics": metrics})
        self._try(lambda: self._redis.set(f"{PREFIX}progress:{job}", value, ex=PROGRESS_SECONDS))

    def progress(self, jobs: Sequence[str]) -> dict[str, Json]:
        """The newest reports of these jobs, as far as there are any."""
        if not jobs:
            return {}
        keys = [f"{PREFIX}progress:{job}" for job in jobs]
        found: Any = self._try(lambda: self._redis.mget(keys)) or []
        return {job: json.loads(value) for job, value in zip(jobs, found, strict=False) if value}

    # -- workers ----------------------------------------------------------------------------------

    def report_worker(self, info: WorkerInfo) -> None:
        """Say that this worker is alive; best effort."""
        self._online = None
        key, value = f"{PREFIX}worker:{info.name}", json.dumps(asdict(info))
        self._try(lambda: self._redis.set(key, value, ex=WORKER_SECONDS))

    def report_current(self, worker: str, job: str | None, since: float | None = None) -> None:
        """Say what a worker works on, and since when; None: nothing."""
        key = f"{PREFIX}current:{worker}"
        if job is None:
            self._try(lambda: self._redis.delete(key))
        else:
            value = json.dumps({"job": job, "job_since": since})
            self._try(lambda: self._redis.set(key, value, ex=WORKER_SECONDS))

    def forget_worker(self, name: str) -> None:
        """Say good-bye, so that nobody waits for the report to expire."""
        self._online = None
        self._try(lambda: self._redis.delete(f"{PREFIX}worker:{name}", f"{PREFIX}current:{name}"))

    def workers(self) -> list[WorkerInfo]:
        """Every worker that reported lately, by name. Raises Unavailable when Redis is down."""
        try:
            keys = sorted(self._redis.scan_iter(match=f"{PREFIX}worker:*", count=500))
            names = [key.removeprefix(f"{PREFIX}worker:") for key in keys]
            values: Any = self._redis.mget(keys) if keys else []
            current: Any = (
                self._redis.mget([f"{PREFIX}current:{name}" for name in names]) if keys else []
            )
        except redis.RedisError as error:
            raise Unavailable(f"Redis does not answer: {error}") from error
        return [
            WorkerInfo(**(json.loads(value) | (json.loads(now) if now else {"job": None})))
            for value, now in zip(values, current, strict=True)
            if value
        ]

    def workers_online(self, queue: str = "train") -> int | None:
        """How many workers of a queue were alive a second ago; None: unknown, Redis is down."""
        counted = self._online
        if counted is None or time.monotonic() > counted[1]:
            online: Counter[str] | None
            try:
                online = Counter(worker.queue for worker in self.workers())
            except Unavailable:
                online = None
            counted = self._online = (online, time.monotonic() + BELIEVED_SECONDS)
        return None if counted[0] is None else counted[0][queue]

    def waiting_messages(self, queue: str) -> int:
        """Messages nobody has taken yet. Raises Unavailable when Redis is down."""
        try:
            length: Any = self._redis.llen(queue)
        except redis.RedisError as error:
            raise Unavailable(f"Redis does not answer: {error}") from error
        return int(length)

    # -- limits -----------------------------------------------------------------------------------

    def share(self, minute: int, added: Mapping[str, int]) -> dict[str, int]:
        """Add to what all processes counted in a minute, and learn it; best effort, one message."""
        pipe = self._redis.pipeline(transaction=False)
        for name, amount in added.items():
            pipe.incrby(f"{PREFIX}asked:{minute}:{name}", amount)
            pipe.expire(f"{PREFIX}asked:{minute}:{name}", COUNTED_SECONDS)
        answers: Any = self._try(pipe.execute)
        return dict(zip(added, answers[::2], strict=True)) if answers else {}

    # -- counters ---------------------------------------------------------------------------------

    def count(self, *additions: Mapping[str, float]) -> None:
        """Add to counters (see `counters`), all in one message; best effort."""
        pipe = self._redis.pipeline(transaction=False)
        for fields in additions:
            for field, amount in fields.items():
                pipe.hincrbyfloat(f"{PREFIX}counters", field, amount)
        self._try(pipe.execute)

    def counts(self) -> dict[str, float]:
        """Everything counted since Redis was last emptied. Raises Unavailable when it is down."""
        try:
            found: Any = self._redis.hgetall(f"{PREFIX}counters")
        except redis.RedisError as error:
            raise Unavailable(f"Redis does not answer: {error}") from error
        return {field: float(value) for field, value in found.items()}

    def _try(self, call: Any) -> Any:
        if time.monotonic() < self._skip_until:
            return None
        try:
            return call()
        except redis.RedisError:
            self._skip_until = time.monotonic() + SKIP_SECONDS
            return None
