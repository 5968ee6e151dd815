"""Who may wait: a request that waits holds a thread, and some threads must stay free for others.

Streams, polls and predictions have places of their own; one owner may hold no more than half of a
kind. Whoever finds none is told to come again (503), or, where that is as good, answered at once.
"""

from collections import Counter
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from threading import Lock
from typing import Literal

from flask import Flask, current_app, g, request

from web.auth import current_caller
from worker.errors import Unavailable

Kind = Literal["stream", "poll", "prediction", "body"]
PLACES: dict[Kind, int] = {
    "stream": 256,  # pages and programs that watch; they sleep most of the time (`web.watching`)
    "poll": 48,  # `?wait=N`, `Prefer: wait=N`
    "prediction": 128,  # answers that a predictor works on
    "body": 16,  # large bodies on their way in, each in memory or read from a spool file
}
# What is left for everything that does not wait.
SHORT_REQUESTS = 32
THREADS = sum(PLACES.values()) + SHORT_REQUESTS
SENTENCES: dict[Kind, str] = {
    "stream": "too many live streams are open: close some pages, or poll instead",
    "poll": "too many requests wait for news: ask without waiting, or in a moment",
    "prediction": "too many predictions are under way: ask again in a moment",
    "body": "too many large uploads are under way: send it again in a moment",
}
RETRY_SECONDS = 2
LARGE_BODY_BYTES = 1024 * 1024


class Places:
    """Counts who waits in this process."""

    def __init__(self) -> None:
        self._taken: Counter[tuple[Kind, str]] = Counter()
        self._total: Counter[Kind] = Counter()
        self._lock = Lock()

    def take(self, kind: Kind, owner: str, *, alone: bool) -> bool:
        """Take a place; `alone`: there is one owner only, who may have them all."""
        most = PLACES[kind]
        share = most if alone else most // 2
        with self._lock:
            if self._total[kind] >= most or self._taken[kind, owner] >= share:
                return False
            self._total[kind] += 1
            self._taken[kind, owner] += 1
            return True

    def leave(self, kind: Kind, owner: str) -> None:
        """Give it back."""
        with self._lock:
            self._total[kind] -= 1
            self._taken[kind, owner] -= 1
            if not self._taken[kind, owner]:
                del self._taken[kind, owner]  # owners come and go


def provide_places(app: Flask) -> None:
    """Give the app its places, and let large bodies in only where there is one."""
    app.extensions["lstmq.places"] = Places()

    @app.before_request
    def begin() -> None:
        # Chunked bodies do not say how large they are.
        unknown = "HTTP_TRANSFER_ENCODING" in request.environ
        may_be_large = unknown or request.environ.get("CONTENT_LENGTH")
        if not may_be_large or "caller" not in g:
            return
        if unknown or (request.content_length or 0) > LARGE_BODY_BYTES:
            g.leave_body = take_place("body")

    @app.teardown_request
    def end(_error: BaseException | None) -> None:
        if leave := g.pop("leave_body", None):
            leave()


def try_place(kind: Kind) -> Callable[[], None] | None:
    """Take a place for the request's caller: what gives it back, once; None: there is none."""
    places: Places = current_app.extensions["lstmq.places"]
    caller = current_caller()
    if not places.take(kind, caller.owner, alone=not caller.key):
        return None
    given_back = Lock()

    def leave() -> None:
        if given_back.acquire(blocking=False):
            places.leave(kind, caller.owner)

    return leave


def take_place(kind: Kind) -> Callable[[], None]:
    """The same. Raises Unavailable when there is none."""
    leave = try_place(kind)
    if leave is None:
        raise Unavailable(SENTENCES[kind], RETRY_SECONDS)
    return leave


@contextmanager
def place(kind: Kind) -> Iterator[None]:
    """Hold a place inside. Raises Unavailable when there is none."""
    leave = take_place(kind)
    try:
        yield
    finally:
        leave()
