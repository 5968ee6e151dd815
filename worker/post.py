"""Where questions leave for Redis: all that are there leave together.

One thread at a time talks to Redis. Whoever comes meanwhile leaves a question for the next one,
which takes every question that lies there: of 64 clients that ask at once, most send nothing
themselves.
"""

import threading
from collections import deque
from dataclasses import dataclass

import redis

from worker.errors import Unavailable

ASKS = "lstmq:asks"
LISTENING = "lstmq:listening"
KEPT_SECONDS = 60  # what nobody fetched, or nobody waits for any more
MOST_WAITING = 2_000  # questions; more than this nobody would answer in time
AWAY = "the queue cannot be reached; ask again in a moment"
TOO_MANY = "too many questions wait already; ask again in a moment"


@dataclass
class Letter:
    """A question on its way."""

    text: str
    problem: str = ""  # why it was not sent
    unheard: bool = False  # it was sent, no predictor listens, and its sender must ring


class Post:
    """The questions of one process."""

    def __init__(self, client: "redis.Redis") -> None:
        self._redis = client
        self._unsent: deque[Letter] = deque()
        self._sending = threading.Lock()

    def send(self, text: str) -> bool:
        """Send a question, and with it those of others that came while one was being sent.

        False: no predictor listens, and the caller must ring. Raises Unavailable.
        """
        letter = Letter(text)
        self._unsent.append(letter)
        with self._sending:
            letters = [self._unsent.popleft() for _ in range(len(self._unsent))]
            if letters:
                self._send_all(letters)
        if letter.problem:
            raise Unavailable(letter.problem)
        return not letter.unheard

    def _send_all(self, letters: list[Letter]) -> None:
        pipe = self._redis.pipeline(transaction=False)
        pipe.rpush(ASKS, *(letter.text for letter in letters))
        pipe.scard(LISTENING)
        pipe.expire(ASKS, KEPT_SECONDS)
        try:
            waiting, listeners, _ = pipe.execute()
            letters[0].unheard = not listeners  # one of them rings
            too_many = max(0, waiting - MOST_WAITING)
            for letter in letters[max(0, len(letters) - too_many) :] if too_many else ():
                letter.problem = TOO_MANY
                self._redis.lrem(ASKS, -1, letter.text)
        except redis.RedisError:
            for letter in letters:
                letter.problem = letter.problem or AWAY
