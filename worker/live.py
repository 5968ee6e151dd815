"""What may be lost at any moment: progress a second old, who is alive, what was counted.

Everything here is in Redis and expires by itself. No function decides anything about a job: when
Redis is gone, pages show a little less and predictions answer 503, nothing else.
"""

import json
import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import asdict
from typing import Any

import redis
from redis.backoff import NoBackoff
from redis.retry import Retry

from worker.errors import Unavailable
from worker.records import Json, Progress, WorkerInfo, as_known

PREFIX = "lstmq:"
WORKER_SECONDS = 12  # a worker that has not reported for so long is gone
PROGRESS_SECONDS = 30
COUNTED_SECONDS = 120
WRITTEN_SECONDS = 600
# After Redis failed to answer, ask it again only after a moment: a frozen server must not cost
# every page its socket timeout.
SKIP_SECONDS = 2.0
# A page, and the answer to a submit, wait only so long for what they could do without.
QUICK_SECONDS = 0.15
# How many workers there are is asked with every poll, and no less true a moment later.
KNOWN_SECONDS = 1.0


class Live:
    """A Redis client that knows our keys."""

    def __init__(self, url: str) -> None:
        self._redis, self._quick = _client(url, 1.0), _client(url, QUICK_SECONDS)
        self._skip_until = 0.0
        self._counted: dict[str, int] | None = None  # workers by their queue
        self._counted_at = float("-inf")

    def close(self) -> None:
        """Close every connection."""
        self._redis.close()
        self._quick.close()

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
        found: Any = self._try(lambda: self._quick.mget(keys)) or []
        return {job: json.loads(value) for job, value in zip(jobs, found, strict=False) if value}

    # -- texts on their way -----------------------------------------------------------------------

    def add_pieces(self, job: str, pieces: Sequence[Json]) -> int | None:
        """Add to what a job has written (see `written`); how many there are. Best effort."""
        key, pipe = f"{PREFIX}written:{job}", self._redis.pipeline(transaction=False)
        pipe.rpush(key, *[json.dumps(piece) for piece in pieces])
        pipe.expire(key, WRITTEN_SECONDS)
        found: Any = self._try(pipe.execute)
        return int(found[0]) if found else None

    def pieces(self, job: str, first: int) -> list[Json]:
        """What a job has written, from a number on; nothing when it is gone or Redis is away."""
        key = f"{PREFIX}written:{job}"
        found: Any = self._try(lambda: self._quick.lrange(key, first, -1))
        return [json.loads(piece) for piece in found or ()]

    # -- workers ----------------------------------------------------------------------------------

    def report_worker(self, info: WorkerInfo) -> None:
        """Say that this worker is alive; best effort."""
        pipe = self._redis.pipeline(transaction=False)
        pipe.set(f"{PREFIX}worker:{info.name}", json.dumps(asdict(info)), ex=WORKER_SECONDS)
        pipe.sadd(f"{PREFIX}workers", info.name)
        self._try(pipe.execute)
        self._counted_at = float("-inf")

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
        pipe = self._redis.pipeline(transaction=False)
        pipe.delete(f"{PREFIX}worker:{name}", f"{PREFIX}current:{name}")
        pipe.srem(f"{PREFIX}workers", name)
        self._try(pipe.execute)
        self._counted_at = float("-inf")

    def workers(self) -> list[WorkerInfo]:
        """Every worker that reported lately, by name. Raises Unavailable when Redis is down."""
        try:
            return self._read_workers(self._redis)
        except redis.RedisError as error:
            raise Unavailable(f"Redis does not answer: {error}") from error

    def _read_workers(self, client: "redis.Redis") -> list[WorkerInfo]:
        """Two messages, however much else Redis holds."""
        members: Any = client.smembers(f"{PREFIX}workers")
        names = sorted(members)
        if not names:
            return []
        keys = [f"{PREFIX}{what}:{name}" for what in ("worker", "current") for name in names]
        values: Any = client.mget(keys)
        reports, currents = values[: len(names)], values[len(names) :]
        if gone := [name for name, report in zip(names, reports, strict=True) if not report]:
            client.srem(f"{PREFIX}workers", *gone)
        return [
            as_known(WorkerInfo, json.loads(report) | (json.loads(now) if now else {"job": None}))
            for report, now in zip(reports, currents, strict=True)
            if report
        ]

    def workers_online(self, queue: str = "train") -> int | None:
        """How many workers of a queue are alive, a moment ago; None: unknown, Redis is down."""
        if time.monotonic() - self._counted_at > KNOWN_SECONDS:
            self._count_workers()
        return None if self._counted is None else self._counted.get(queue, 0)

    def _count_workers(self) -> None:
        found: list[WorkerInfo] | None = self._try(lambda: self._read_workers(self._quick))
        if found is not None:
            self._counted_at, self._counted = time.monotonic(), {}
            for worker in found:
                self._counted[worker.queue] = self._counted.get(worker.queue, 0) + 1
        elif time.monotonic() - self._counted_at > WORKER_SECONDS:
            self._counted = None  # too long ago to be told as news

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

    def _try(self, call: Callable[[], Any]) -> Any:
        if time.monotonic() < self._skip_until:
            return None
        try:
            return call()
        except redis.RedisError:
            self._skip_until = time.monotonic() + SKIP_SECONDS
            return None


def _client(url: str, timeout: float) -> "redis.Redis":
    return redis.Redis.from_url(
        url,
        socket_timeout=timeout,
        socket_connect_timeout=timeout,
        retry=Retry(NoBackoff(), 0),
        decode_responses=True,
    )
