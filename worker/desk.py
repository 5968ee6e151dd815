"""Answers everybody who asks a predictor, side by side: who asks joins those being answered.

All prompts of one model are written together, a token of every text a step, so many cost little
more than one. Owners take turns and none fills the desk alone; a question that goes wrong fails by
itself. Between two steps answers leave and new questions are taken, so the first piece of a text
never waits for the end of another.
"""

import logging
import time
from collections import deque
from collections.abc import Callable
from dataclasses import dataclass

from redis import RedisError

from lstmcore.config import parse_sampling
from lstmcore.errors import LSTMError
from lstmcore.export import LanguageModel
from lstmcore.sampling import Prediction
from lstmcore.together import Together
from worker import counters
from worker.asks import CONTINUE, Ask
from worker.backend import Backend
from worker.errors import NotFound, OtherVersion, StoreError, Unavailable
from worker.fuse import Fuse
from worker.insight_answers import answer_question
from worker.model_cache import ModelCache
from worker.questions import Lines, Question, error_item, internal_error_item
from worker.records import Json
from worker.release import understood

log = logging.getLogger(__name__)

# What may go wrong with a question through no fault of the predictor.
EXPECTED_ERRORS = (LSTMError, NotFound, StoreError, Unavailable)
STOPPING = "the predictor is stopping; ask again in a moment"
LOOK_SECONDS = 0.003  # between two looks for new questions while others are being answered
WATCH_SECONDS = 0.25  # between two looks for people who left
COUNT_SECONDS = 1.0
IDLE_SECONDS = 0.2  # one wait for a question
LINGER_SECONDS = 2.0  # without any question the worker goes back to its queue
TURN_SECONDS = 1.0  # others who wait in the queue for this worker have their turn after this
MOST_TEXTS = 256
MOST_BYTES = 256 * 2**20  # of states and scores
SHARE_OF_ONE = 0.75  # of the texts, for one owner
AT_ONCE = 64  # questions taken at a time


@dataclass(eq=False)
class Group:
    """Everything that is being written by one model."""

    key: str
    model: str  # its id
    together: Together
    text_bytes: int
    prompts: dict[int, tuple[Question, int, float]]  # handle → question, number of prompt, since


class Desk:
    """Where a predictor's questions lie."""

    def __init__(
        self,
        backend: Backend,
        models: ModelCache,
        name: str,
        stopping: Callable[[], bool],
        fuse: Fuse,
    ) -> None:
        self._asks, self._live = backend.asks, backend.live
        self._models, self._name, self._stopping = models, name, stopping
        self._fuse = fuse
        self._looked_at = self._watched_at = self._counted_at = 0.0
        self._counts: dict[str, float] = {}
        self._clear()

    def _clear(self) -> None:
        self._open: dict[str, Question] = {}
        self._lines = Lines()
        self._groups: dict[str, Group] = {}
        self._looks: deque[Ask] = deque()
        self._told: list[tuple[Ask, Json]] = []
        self._urgent = False

    def serve(self, linger: float | None = None) -> None:
        """Answer until nobody asked for `linger` seconds, or others wait for this worker.

        What is not finished then is gone on with at the next call, which is asked for.
        """
        try:
            self._serve(LINGER_SECONDS if linger is None else linger)
        except RedisError as error:
            # Nobody can be answered, and whoever asked has been told so.
            log.warning("Redis does not answer; every question is dropped: %s", error)
            self._clear()

    def _serve(self, linger: float) -> None:
        began = asked_at = time.monotonic()
        while True:
            self._fuse.step()
            if self._stopping():
                self._stop()
                return
            self._exchange()
            while found := self._lines.next(self._has_room):
                self._join(*found)
            if self._looks:
                self._look(self._looks[0])
                self._looks.popleft()
            if self._groups:
                asked_at = time.monotonic()
                for group in list(self._groups.values()):
                    self._step(group)
                if asked_at - began > TURN_SECONDS and self._hand_over():
                    return
            elif not self._told and not self._looks and self._idle(asked_at + linger):
                return

    def held(self) -> list[str]:
        """The ids of the questions that lie here; for any thread."""
        return [*list(self._open), *[ask.id for ask in list(self._looks)]]

    # -- questions and answers --------------------------------------------------------------------

    def _exchange(self) -> None:
        """Send what is to be sent and take what can be taken, if it is time for either."""
        now = time.monotonic()
        busy = bool(self._groups) or len(self._lines) > 0
        if busy and not self._urgent and now - self._looked_at < LOOK_SECONDS:
            return
        watched: list[Ask] = []
        if now - self._watched_at > WATCH_SECONDS:
            watched = [question.ask for question in self._open.values()]
            self._watched_at = now
        told, self._told = self._told, []
        room = AT_ONCE - len(self._lines) - len(self._looks)
        asks, left = self._asks.exchange(self._name, told, room, watched)
        self._looked_at, self._urgent = now, False
        for identifier in left & self._open.keys():
            self._forget(self._open[identifier])
        for ask in asks:
            self._take(ask)
        if self._counts and now - self._counted_at > COUNT_SECONDS:
            counts, self._counts, self._counted_at = self._counts, {}, now
            self._live.count(counts)

    def _idle(self, until: float) -> bool:
        """Wait for a question; True when it is time to go, and nobody came in the last moment."""
        left = until - time.monotonic()
        if left > 0 and not self._asks.messages():
            ask = self._asks.wait(min(left, IDLE_SECONDS))
            if ask is not None:
                self._take(ask)
                self._looked_at = time.monotonic()  # answered first, then looked for others
            return False
        asks, _ = self._asks.exchange(self._name, [], AT_ONCE, [], listening=False)
        for ask in asks:
            self._take(ask)
        return not asks

    def _take(self, ask: Ask) -> None:
        if ask.question != CONTINUE:
            self._looks.append(ask)
            return
        prompts = ask.arguments["prompts"]
        try:
            sampling = understood(parse_sampling, ask.arguments["sampling"])
        except OtherVersion as error:
            self._say(ask, error_item(error))
            return
        question = self._open[ask.id] = Question(ask, prompts, sampling, len(prompts))
        self._lines.add(question)

    def _look(self, ask: Ask) -> None:
        """Answer a question about the inside of a model, which takes no steps."""
        began = time.perf_counter()
        try:
            model, loaded, _ = self._models.get(ask.model)
            found = answer_question(loaded, ask.question, ask.arguments)
        except EXPECTED_ERRORS as error:
            self._say(ask, error_item(error))
        except Exception:
            log.exception("a question about a model failed")
            self._say(ask, internal_error_item())
        else:
            seconds = round(time.perf_counter() - began, 6)
            result = {**found, "model": model.id, "seconds": seconds}
            self._say(ask, {"type": "result", "result": result, "last": True})

    def _say(self, ask: Ask, item: Json) -> None:
        self._told.append((ask, item))
        self._urgent = True

    # -- writing ----------------------------------------------------------------------------------

    def _has_room(self, question: Question) -> bool:
        texts = used = mine = 0
        for group in self._groups.values():
            for other, _, _ in group.prompts.values():
                texts += other.texts
                used += other.texts * group.text_bytes
                mine += other.texts if other.ask.owner == question.ask.owner else 0
        return not texts or (
            texts + question.texts <= MOST_TEXTS
            and mine + question.texts <= SHARE_OF_ONE * MOST_TEXTS
            and used < MOST_BYTES
        )

    def _join(self, question: Question, number: int) -> None:
        try:
            group = self._group(question.ask.model)
            handle = group.together.add(question.prompts[number], question.sampling)
        except EXPECTED_ERRORS as error:
            self._fail(question, error_item(error))
        except Exception:
            log.exception("a question could not be taken up")
            self._fail(question, internal_error_item())
        else:
            group.prompts[handle] = (question, number, time.perf_counter())

    def _group(self, identifier: str) -> Group:
        model, loaded, key = self._models.get(identifier)
        if key not in self._groups:
            self._groups[key] = Group(
                key, model.id, Together(loaded), _text_bytes(loaded), prompts={}
            )
        return self._groups[key]

    def _step(self, group: Group) -> None:
        """Write one token of every text of a model."""
        try:
            told = group.together.step()
        except Exception:
            # Those who wait must not wait for nothing.
            log.exception("a step of %s failed", group.model)
            for question, _, _ in group.prompts.values():
                self._fail(question, internal_error_item())
            group.prompts.clear()
        else:
            for handle, piece in told:
                question, number, since = group.prompts[handle]
                if isinstance(piece, str):
                    self._tell_piece(question, number, piece)
                else:
                    del group.prompts[handle]
                    self._tell_result(question, number, piece, group, since)
        if not group.prompts:
            del self._groups[group.key]

    def _tell_piece(self, question: Question, number: int, piece: str) -> None:
        if question.ask.stream and not question.over:
            self._say(question.ask, {"type": "token", "text": piece, "index": number})

    def _tell_result(
        self, question: Question, number: int, found: Prediction, group: Group, since: float
    ) -> None:
        if question.over:
            return
        seconds = time.perf_counter() - since
        question.unfinished -= 1
        question.over = question.unfinished == 0
        result = {**found, "model": group.model, "seconds": round(seconds, 6)}
        item: Json = {"type": "result", "result": result, "index": number, "last": question.over}
        self._say(question.ask, item)
        if question.over:
            del self._open[question.ask.id]
        for name, amount in counters.PREDICTION_SECONDS.fields(seconds).items():
            self._counts[name] = self._counts.get(name, 0) + amount

    # -- endings ----------------------------------------------------------------------------------

    def _fail(self, question: Question, item: Json) -> None:
        if not question.over:
            self._say(question.ask, item)
            self._forget(question)

    def _forget(self, question: Question) -> None:
        """Write no more for a question; its prompts that wait are passed over."""
        question.over = True
        self._open.pop(question.ask.id, None)
        for group in self._groups.values():
            for handle, (other, _, _) in group.prompts.items():
                if other is question:
                    group.together.cancel(handle)

    def _hand_over(self) -> bool:
        """Let others have this worker, when some wait and it will be called again."""
        if not self._asks.messages() or not self._asks.ring():
            return False
        self._urgent = True
        self._exchange()
        return True

    def _stop(self) -> None:
        for question in list(self._open.values()):
            self._fail(question, error_item(Unavailable(STOPPING)))
        while self._looks:
            self._say(self._looks.popleft(), error_item(Unavailable(STOPPING)))
        told, self._told = self._told, []
        try:
            self._asks.exchange(self._name, told, 0, [], listening=False)
        except RedisError as error:
            log.warning("nobody could be told that the predictor stops: %s", error)


def _text_bytes(model: LanguageModel) -> int:
    shape = model.config.model
    return 4 * (2 * shape.layers * shape.hidden_dim + 5 * model.tokenizer.modelled_size)
