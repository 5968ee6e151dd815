"""Questions are answered side by side, each as it would be alone, and none spoils another's."""

import gc
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import pytest

from lstmcore.config import resolve_config
from lstmcore.corpus import read_corpus, summarize
from lstmcore.training import Trainer
from tests.processes import eventually
from worker import asks as asks_module
from worker import desk, holding, insights, lost_asks, models, predict
from worker.asks import Ask, Asks
from worker.backend import Backend
from worker.errors import InvalidInput, NotFound, Unavailable
from worker.predictions import Predictor
from worker.records import Json, Model

TEXT = "one two three four five six seven eight nine ten " * 40  # a text that has no end


@pytest.fixture
def database_url(sqlite_database: Callable[[], str]) -> str:
    """Nothing here depends on the kind of database."""
    return sqlite_database()


@pytest.fixture(scope="session")
def words(tmp_path_factory: pytest.TempPathFactory) -> Path:
    corpus = read_corpus(TEXT.encode()).corpus
    wanted = {"preset": "word", "training": {"epochs": 1}, "model": {"hidden_dim": 16}}
    trainer = Trainer.start(resolve_config(wanted, summarize(corpus)), corpus)
    for _ in trainer.run():
        pass
    folder: Path = tmp_path_factory.mktemp("words")
    trainer.write_best(folder)
    return folder


@pytest.fixture
def model(backend: Backend, words: Path) -> Model:
    return models.import_folder(backend, "ann", "words", words)


class Room:
    """A predictor in a thread, called by whatever rings, as Celery calls it."""

    def __init__(self, backend: Backend) -> None:
        self.stop = threading.Event()
        self.serving = 0
        self._predictor = Predictor(backend, "desk@here", self.stop.is_set)
        self._backend = backend
        self._thread = threading.Thread(target=self._run)

    def _run(self) -> None:
        redis = self._backend.asks._redis
        while not self.stop.is_set():
            if redis.lpop("predict") is not None:
                self.serving += 1
                self._predictor.serve()
            time.sleep(0.005)

    def __enter__(self) -> "Room":
        self._thread.start()
        return self

    def __exit__(self, *_: object) -> None:
        self.stop.set()
        self._thread.join()


@pytest.fixture
def room(backend: Backend) -> Iterator[Room]:
    with Room(backend) as room:
        yield room


def ask(backend: Backend, model: Model, prompts: list[str], **sampling: Any) -> list[Json]:
    return predict.predict_now(backend, "ann", model.id, prompts, sampling, timeout=30)


def texts(results: list[Json]) -> list[str]:
    return [text["text"] for result in results for text in result["completions"]]


def at_once(work: Callable[[int], object], number: int) -> None:
    threads = [threading.Thread(target=work, args=(each,)) for each in range(number)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()


def test_everybody_gets_what_they_would_get_alone(
    backend: Backend, model: Model, room: Room
) -> None:
    def seeded(number: int) -> list[str]:
        settings = {
            "seed": number,
            "max_tokens": 5 + number,
            "temperature": 1.0,
            "n": 1 + number % 2,
        }
        return texts(ask(backend, model, ["one two", "three"], **settings))

    alone = [seeded(number) for number in range(12)]
    together: dict[int, list[str]] = {}
    at_once(lambda number: together.update({number: seeded(number)}), 12)
    assert [together[number] for number in range(12)] == alone


def test_a_bad_question_fails_alone(backend: Backend, model: Model, room: Room) -> None:
    found: dict[int, object] = {}

    def mixed(number: int) -> None:
        try:
            if number % 3 == 0:
                found[number] = ask(backend, model, ["one " * 99_999, "two"], max_tokens=1)
            elif number % 3 == 1:
                found[number] = insights.saliency(
                    backend,
                    "ann",
                    model.id,
                    prompt="one",
                    token="unheard",  # noqa: S106 - a word
                )
            else:
                found[number] = texts(ask(backend, model, ["one"], max_tokens=3, temperature=0))
        except (InvalidInput, Unavailable) as error:
            found[number] = type(error)

    at_once(mixed, 9)
    assert {found[number] for number in (1, 4, 7)} == {InvalidInput}
    good = [found[number] for number in (2, 5, 8)]
    assert good[0] == good[1] == good[2]


def test_a_deleted_model_is_not_found(backend: Backend, model: Model, room: Room) -> None:
    ask(backend, model, ["one"], max_tokens=1)
    models.delete(backend, "ann", model.id)
    with pytest.raises(NotFound):
        ask(backend, model, ["one"], max_tokens=1)
    with pytest.raises(NotFound):  # somebody else's, too
        predict.predict_now(backend, "bob", model.id, ["one"], {}, timeout=5)


def test_a_long_text_keeps_nobody_waiting(backend: Backend, model: Model, room: Room) -> None:
    long = predict.stream_now(
        backend, "ann", model.id, ["one"] * 64, {"max_tokens": 4096, "seed": 1, "n": 16}, timeout=60
    )
    assert next(long)["type"] == "token"
    for _ in range(3):
        ask(backend, model, ["two"], max_tokens=1)
    assert next(long)["type"] in ("token", "quiet")  # it still goes on
    long.close()
    eventually(lambda: not room._predictor._desk._open)


def test_one_owner_leaves_room_for_others(
    backend: Backend, model: Model, words: Path, room: Room
) -> None:
    hog = predict.stream_now(
        backend, "ann", model.id, ["one"] * 64, {"max_tokens": 4096, "n": 16}, timeout=60
    )
    next(hog)
    bob = models.import_folder(backend, "bob", "mine", words)
    predict.predict_now(backend, "bob", bob.id, ["two"], {"max_tokens": 1}, timeout=30)
    assert next(hog)
    hog.close()


def test_pieces_make_up_the_text(backend: Backend, model: Model, room: Room) -> None:
    items = list(
        predict.stream_now(
            backend, "ann", model.id, ["one", "three four"], {"max_tokens": 9, "temperature": 0}
        )
    )
    for number in (0, 1):
        mine = [item for item in items if item["index"] == number]
        told = "".join(item["text"] for item in mine if item["type"] == "token")
        assert mine[-1]["type"] == "result"
        assert told == mine[-1]["result"]["completions"][0]["text"]


def test_a_predictor_that_stops_says_so(backend: Backend, model: Model) -> None:
    with Room(backend) as room:
        long = predict.stream_now(
            backend, "ann", model.id, ["one"] * 64, {"max_tokens": 4096, "n": 16}, timeout=60
        )
        next(long)
        room.stop.set()
        with pytest.raises(Unavailable, match="stopping"):
            list(long)


def test_it_rings_only_when_nobody_listens(
    backend: Backend, model: Model, monkeypatch: pytest.MonkeyPatch
) -> None:
    # However long an answer takes here, and the pause before the next question.
    monkeypatch.setattr(asks_module, "RING_AGAIN_SECONDS", 30.0)
    monkeypatch.setattr(asks_module, "LISTENING_SECONDS", 60)
    monkeypatch.setattr(desk, "LINGER_SECONDS", 30.0)
    with Room(backend) as room:
        for _ in range(20):
            ask(backend, model, ["one"], max_tokens=1)
        assert room.serving == 1


def test_who_died_while_listening_is_missed_soon(backend: Backend, model: Model) -> None:
    backend.asks.exchange("dead@here", [], 1, [])  # says that it listens, and nothing more
    with Room(backend):
        began = time.monotonic()
        ask(backend, model, ["one"], max_tokens=1)
        assert time.monotonic() - began < 20


@pytest.fixture
def impatient(monkeypatch: pytest.MonkeyPatch) -> None:
    """What is lost is found out in a second."""
    monkeypatch.setattr(lost_asks, "LOST_SECONDS", 0.1)
    monkeypatch.setattr(asks_module, "LOOK_SECONDS", 0.2)
    monkeypatch.setattr(holding, "SECONDS", 0.05)


def taken_by_the_dead(backend: Backend) -> Ask:
    """A predictor takes the question that waits, and is killed."""
    eventually(lambda: backend.asks._redis.llen("lstmq:asks") == 1)
    ((ask,), _) = backend.asks.exchange("dead@here", [], 1, [])
    return ask


def test_a_question_whose_predictor_was_killed_is_asked_again(
    backend: Backend, model: Model, impatient: None
) -> None:
    answer = predict.stream_now(backend, "ann", model.id, ["one"], {"max_tokens": 3}, timeout=60)
    first = taken_by_the_dead(backend)
    with Room(backend):
        *_, last = answer
    assert last["result"]["completions"]
    # Were the first one only asleep, it would find that nobody waits for it any more.
    assert backend.asks.exchange("asleep@here", [], 0, [first])[1] == {first.id}


def test_a_question_that_kills_two_predictors_is_not_asked_a_third_time(
    backend: Backend, model: Model, impatient: None
) -> None:
    caller = threading.Thread(target=lambda: [taken_by_the_dead(backend) for _ in range(2)])
    caller.start()
    with pytest.raises(Unavailable, match="is gone"):
        ask(backend, model, ["one"], max_tokens=1)
    caller.join()


def test_half_an_answer_of_a_killed_predictor_ends_soon(
    backend: Backend, model: Model, impatient: None
) -> None:
    answer = predict.stream_now(backend, "ann", model.id, ["one"], {"max_tokens": 3}, timeout=60)
    taken = taken_by_the_dead(backend)
    piece = {"type": "token", "text": "two", "index": 0}
    backend.asks.exchange("dead@here", [(taken, piece)], 0, [])
    assert next(answer) == piece
    with pytest.raises(Unavailable, match="is gone"):
        next(answer)


def test_a_question_that_takes_long_is_not_asked_again(
    backend: Backend, model: Model, impatient: None
) -> None:
    answer = predict.stream_now(backend, "ann", model.id, ["one"], {"max_tokens": 3}, timeout=60)

    def take_long() -> None:
        taken = taken_by_the_dead(backend)  # who is alive, only slow
        for _ in range(10):
            backend.asks.hold([taken.id])
            time.sleep(0.2)
        result = {"type": "result", "result": {}, "index": 0, "last": True}
        backend.asks.exchange("slow@here", [(taken, result)], 0, [])

    slow = threading.Thread(target=take_long)
    slow.start()
    assert [item["type"] for item in answer] == ["result"]
    slow.join()
    assert backend.asks._redis.llen("lstmq:asks") == 0


def test_a_predictor_says_what_it_works_on_until_it_is_no_more(
    backend: Backend, model: Model, impatient: None
) -> None:
    predictor = Predictor(backend, "desk@here", lambda: False)
    answer = predict.stream_now(backend, "ann", model.id, ["one"], {"max_tokens": 1}, timeout=60)
    taken = taken_by_the_dead(backend)
    predictor._desk._take(taken)
    eventually(lambda: backend.asks._redis.exists(f"lstmq:held:{taken.id}") == 1)
    predictor.serve()
    assert [item["type"] for item in answer][-1] == "result"
    del predictor
    gc.collect()
    eventually(lambda: "holding" not in [thread.name for thread in threading.enumerate()])


def test_without_an_answer_in_time_it_is_unavailable(backend: Backend, model: Model) -> None:
    with pytest.raises(Unavailable, match="ask again"):
        predict.predict_now(backend, "ann", model.id, ["one"], {}, timeout=0.2)
    assert backend.asks._redis.llen("lstmq:asks") == 0  # nobody will answer it later


def test_others_in_the_queue_have_their_turn(
    backend: Backend, model: Model, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(desk, "TURN_SECONDS", 0.0)
    monkeypatch.setattr(desk, "LINGER_SECONDS", 0.1)
    stop = threading.Event()
    predictor = Predictor(backend, "desk@here", stop.is_set)
    long = predict.stream_now(
        backend, "ann", model.id, ["one"] * 64, {"max_tokens": 4096, "n": 16}, timeout=60
    )
    predictor.serve()  # a message waits in the queue, so it comes back before the text's end
    assert next(long)["type"] == "token"
    assert predictor._desk._open
    assert backend.asks.messages() == 2  # the one that waited, and its own call
    long.close()
    backend.asks._redis.delete("predict")
    predictor.serve()
    assert not predictor._desk._open


@contextmanager
def closing(asks: Asks) -> Iterator[Asks]:
    yield asks
    asks.close()


def test_without_redis_nothing_can_be_asked(backend: Backend) -> None:
    with (
        closing(Asks("redis://127.0.0.1:1", backend.doorbell)) as asks,
        pytest.raises(Unavailable),
    ):
        asks.ask("ann", "model-1", "score", {}, timeout=1)
