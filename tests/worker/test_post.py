"""Questions that leave together arrive as if each had left alone."""

from concurrent.futures import ThreadPoolExecutor

import pytest
import redis
from redis.backoff import NoBackoff
from redis.retry import Retry

from worker import post
from worker.backend import Backend
from worker.errors import Unavailable


@pytest.fixture
def client(backend: Backend) -> redis.Redis:
    found: redis.Redis = redis.Redis.from_url(
        backend.settings.effective_redis_url, decode_responses=True
    )
    found.delete(post.ASKS, post.LISTENING)
    return found


def test_every_question_arrives_once(client: redis.Redis) -> None:
    office = post.Post(client)
    texts = [str(number) for number in range(400)]
    with ThreadPoolExecutor(16) as pool:
        heard = list(pool.map(office.send, texts))
    assert sorted(client.lrange(post.ASKS, 0, -1)) == sorted(texts)
    assert not all(heard)  # nobody listens: somebody rings
    client.sadd(post.LISTENING, "a predictor")
    assert office.send("another")


def test_what_is_too_much_is_refused_and_lies_nowhere(
    client: redis.Redis, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(post, "MOST_WAITING", 100)
    office = post.Post(client)

    def accepted(text: str) -> bool:
        try:
            office.send(text)
        except Unavailable:
            return False
        return True

    texts = [str(number) for number in range(160)]
    with ThreadPoolExecutor(16) as pool:
        sent = [text for text, taken in zip(texts, pool.map(accepted, texts), strict=True) if taken]
    assert sorted(client.lrange(post.ASKS, 0, -1)) == sorted(sent)
    assert len(sent) == 100


def test_everybody_is_told_when_redis_is_away() -> None:
    office = post.Post(redis.Redis(port=1, retry=Retry(NoBackoff(), 0)))
    with ThreadPoolExecutor(8) as pool:
        for failed in [pool.submit(office.send, "a question") for _ in range(24)]:
            with pytest.raises(Unavailable, match="cannot be reached"):
                failed.result()
