"""Questions on their way to a predictor, and answers on their way back: short-lived, over Redis.

A question is a line in one list that every predictor reads; its answer comes into the list of the
process that asked, where one thread hands the items to those who wait. So a predictor that is busy
takes everything that waits at once, and answers many with one message. The Celery queue is only
rung when no predictor says that it is listening, and rung again when none answers soon.

A predictor that works on a question for long says so once a second (`worker.holding`). A question
that waits nowhere and that nobody holds was taken by one that is gone: it is asked once more.
Losing anything else loses nothing either: whoever waits is told to ask again.
"""

import json
import threading
import time
from collections.abc import Iterator, Sequence
from contextlib import suppress
from dataclasses import dataclass, replace
from queue import Empty, SimpleQueue
from typing import Any

import redis
from redis.backoff import NoBackoff
from redis.retry import Retry

from worker import logs
from worker.errors import Unavailable
from worker.lost_asks import HELD_SECONDS, LOST, Search
from worker.naming import new_id
from worker.post import ASKS, AWAY, KEPT_SECONDS, LISTENING, Post
from worker.queue import ANSWER_QUESTIONS, Doorbell
from worker.records import Json, as_known

CONTINUE = "continue"  # prompts, with {"prompts": […], "sampling": {…}}

LISTENING_SECONDS = 2
RING_AGAIN_SECONDS = 0.5
LINGER_SECONDS = 5.0  # the thread that collects answers waits so long for the next question
LOOK_SECONDS = 2.0  # an answer that takes longer than this is looked for, again and again
QUIET_SECONDS = 10.0


@dataclass(frozen=True)
class Ask:
    """One question to a model."""

    id: str
    owner: str
    model: str
    question: str  # CONTINUE, or one of `worker.insights`
    arguments: Json
    stream: bool  # whether pieces are wanted before the whole
    inbox: str  # the list of the process that waits


class Asks:
    """Both sides' way to the questions."""

    def __init__(self, url: str, doorbell: Doorbell) -> None:
        self._redis = redis.Redis.from_url(
            url,
            socket_timeout=1.0,
            socket_connect_timeout=1.0,
            retry=Retry(NoBackoff(), 0),
            decode_responses=True,
        )
        self._doorbell, self._post = doorbell, Post(self._redis)
        self._inbox = f"lstmq:answers:{new_id('web')}"
        self._waiting: dict[str, SimpleQueue[Json | None]] = {}
        self._lock = threading.Lock()
        self._collector: threading.Thread | None = None
        self._closed = False

    def close(self) -> None:
        """Let go of every connection; whoever still waits is told."""
        self._closed = True
        collector = self._collector
        if collector is not None:
            with suppress(redis.RedisError):
                self._redis.rpush(self._inbox, "[]")  # so that it need not wait any longer
            collector.join()
        self._redis.close()

    # -- the side that asks -----------------------------------------------------------------------

    def ask(
        self,
        owner: str,
        model: str,
        question: str,
        arguments: Json,
        *,
        stream: bool = False,
        timeout: float,
    ) -> Iterator[Json]:
        """Send a question; the items of its answer as they come, `quiet` ones between them.

        It is sent before this returns. Raises Unavailable when Redis does not take it, and while
        reading when the answer does not end within `timeout` seconds.
        """
        ask = Ask(new_id("ask"), owner, model, question, arguments, stream, self._inbox)
        logs.name(ask=ask.id)
        return self._items(ask, self._begin(ask), timeout)

    def _begin(self, ask: Ask) -> "SimpleQueue[Json | None]":
        """Send a question; where its answers come."""
        answers: SimpleQueue[Json | None] = SimpleQueue()
        self._waiting[ask.id] = answers
        try:
            if not self._post.send(_text(ask)):
                self._ring()
            self._collect()
        except BaseException:
            del self._waiting[ask.id]
            raise
        return answers

    def _ring(self) -> bool:
        return self._doorbell.send(ANSWER_QUESTIONS, (), "predict")

    def _items(
        self, ask: Ask, answers: "SimpleQueue[Json | None]", timeout: float
    ) -> Iterator[Json]:
        began = told_at = time.monotonic()
        wait, left_early, search = RING_AGAIN_SECONDS, True, Search()
        try:
            while (left := began + timeout - time.monotonic()) > 0:
                try:
                    item = answers.get(timeout=min(left, wait))
                except Empty:
                    wait, now = min(2 * wait, LOOK_SECONDS), time.monotonic()
                    if self._is_lost(ask, search, now - began):
                        self._withdraw(ask)
                        del self._waiting[ask.id]
                        ask, search = replace(ask, id=new_id("ask")), Search(repeated=True)
                        answers = self._begin(ask)
                    elif search.answered and now - told_at > QUIET_SECONDS:
                        told_at = now
                        yield {"type": "quiet"}
                    continue
                if item is None:
                    raise Unavailable(AWAY)
                search.answered, wait, told_at = True, LOOK_SECONDS, time.monotonic()
                left_early = not item.pop("last", False)
                yield item
                if not left_early:
                    return
            raise Unavailable(
                f"no predictor answered within {timeout:g} seconds; ask again in a moment"
            )
        finally:
            self._waiting.pop(ask.id, None)
            if left_early:
                self._withdraw(ask)

    def _is_lost(self, ask: Ask, search: Search, waited: float) -> bool:
        """Whether a question must be asked again. Raises Unavailable when that makes no sense."""
        if search.found_nothing(self._look(ask), waited):
            if search.answered or search.repeated:
                raise Unavailable(LOST)
            return True
        if not search.answered and search.rings(waited):
            self._ring()  # whoever listened may have died
        return False

    def _look(self, ask: Ask) -> bool | None:
        """Whether a question is somewhere: in the list or held. None: Redis does not say."""
        pipe = self._redis.pipeline(transaction=False)
        pipe.exists(_held(ask.id))
        pipe.lpos(ASKS, _text(ask))
        try:
            held, place = pipe.execute()
        except redis.RedisError:
            return None
        return bool(held) or place is not None

    def _withdraw(self, ask: Ask) -> None:
        """Say that nobody waits for this any more; best effort."""
        pipe = self._redis.pipeline(transaction=False)
        pipe.lrem(ASKS, 1, _text(ask))
        pipe.set(_gone(ask.id), 1, ex=KEPT_SECONDS)
        try:
            pipe.execute()
        except redis.RedisError:
            return

    def _collect(self) -> None:
        """See to it that a thread hands out the answers."""
        if self._collector is not None and self._collector.is_alive():
            return
        with self._lock:
            if self._collector is None or not self._collector.is_alive():
                self._collector = threading.Thread(
                    target=self._hand_out, name="answers", daemon=True
                )
                self._collector.start()

    def _hand_out(self) -> None:
        asked_at = time.monotonic()
        while not self._closed:
            if self._waiting:
                asked_at = time.monotonic()
            elif time.monotonic() - asked_at > LINGER_SECONDS:
                with self._lock:
                    if not self._waiting:
                        self._collector = None
                        return
            try:
                # Short waits, so that a frozen Redis is found out by the socket timeout.
                popped: Any = self._redis.blpop([self._inbox], timeout=0.5)
            except redis.RedisError:
                self._give_up()
                time.sleep(0.1)
                continue
            for identifier, item in json.loads(popped[1]) if popped else ():
                waiting = self._waiting.get(identifier)
                if waiting is not None:
                    waiting.put(item)
        self._give_up()

    def _give_up(self) -> None:
        for waiting in list(self._waiting.values()):
            waiting.put(None)

    # -- the predictor's side ---------------------------------------------------------------------

    def exchange(
        self,
        name: str,
        told: Sequence[tuple[Ask, Json]],
        room: int,
        watched: Sequence[Ask],
        *,
        listening: bool = True,
    ) -> tuple[list[Ask], set[str]]:
        """In one message: send items of answers, take at most `room` questions, look who left.

        Returns the new questions, and the ids of those watched that nobody waits for any more.
        Without `listening` this predictor says that it reads no longer. Raises RedisError.
        """
        pipe = self._redis.pipeline(transaction=False)
        for inbox, items in _by_inbox(told).items():
            pipe.rpush(inbox, json.dumps(items))
            pipe.expire(inbox, KEPT_SECONDS)
        if listening:
            pipe.sadd(LISTENING, name)
            pipe.expire(LISTENING, LISTENING_SECONDS)
        else:
            pipe.srem(LISTENING, name)
        # Asked last, after having said good-bye: what comes later rings.
        pipe.lpop(ASKS, max(1, room)) if room > 0 else pipe.exists(ASKS)
        pipe.mget([_gone(ask.id) for ask in watched] or [ASKS + ":none"])
        *_, taken, gone = pipe.execute()
        asks = [as_known(Ask, json.loads(each)) for each in taken or ()] if room > 0 else []
        left = {ask.id for ask, mark in zip(watched, gone, strict=False) if mark}
        return asks, left

    def hold(self, identifiers: Sequence[str]) -> None:
        """Say of questions that they are worked on. Raises RedisError."""
        pipe = self._redis.pipeline(transaction=False)
        for identifier in identifiers:
            pipe.set(_held(identifier), 1, ex=HELD_SECONDS)
        pipe.execute()

    def wait(self, seconds: float) -> Ask | None:
        """The next question as soon as there is one; None after so many seconds."""
        popped: Any = self._redis.blpop([ASKS], timeout=seconds)
        return as_known(Ask, json.loads(popped[1])) if popped else None

    def messages(self) -> int:
        """Messages that wait in the predictors' Celery queue."""
        length: Any = self._redis.llen("predict")
        return int(length)

    def ring(self) -> bool:
        """Call a predictor, this one too."""
        return self._ring()


def _text(ask: Ask) -> str:
    return json.dumps(vars(ask))


def _held(identifier: str) -> str:
    return f"lstmq:held:{identifier}"


def _gone(identifier: str) -> str:
    return f"lstmq:gone:{identifier}"


def _by_inbox(told: Sequence[tuple[Ask, Json]]) -> dict[str, list[tuple[str, Json]]]:
    found: dict[str, list[tuple[str, Json]]] = {}
    for ask, item in told:
        found.setdefault(ask.inbox, []).append((ask.id, item))
    return found
