"""A job's story: a list that pages, or a stream that ends with the job."""

import threading
from collections.abc import Iterator
from typing import Any

import pytest
import redis
from flask import Flask
from flask.testing import FlaskClient
from werkzeug.test import TestResponse

from tests.web.answers import events_of, problem_of, refused_fields
from web.places import PLACES
from worker import events as contract
from worker import jobs, leases
from worker import written as written_module
from worker.backend import Backend
from worker.predictions import Predictor
from worker.records import Model
from worker.written import Written

STREAM = {"Accept": "text/event-stream"}


@pytest.fixture
def address(job: dict[str, Any]) -> str:
    events: str = job["links"]["events"]
    return events


@pytest.fixture
def story(backend: Backend, job: dict[str, Any]) -> list[int]:
    """A few events more, and the ids of all."""
    with backend.database.writing() as connection:
        for step in range(1, 5):
            contract.append(
                connection, job["id"], "metrics", {"step": step, "train_loss": 1 / step}
            )
    return [event.id for event in contract.after(backend, job["id"])]


def test_events_are_listed_oldest_first(
    client: FlaskClient, address: str, story: list[int]
) -> None:
    page = client.get(address).json
    assert [event["id"] for event in page["data"]] == story
    assert (page["has_more"], page["next"]) == (False, None)
    assert page["data"][0]["type"] == "state"
    assert page["data"][0]["data"]["state"] == "queued"
    assert page["data"][0]["at"].endswith("Z")


def test_pages_hold_every_event_once(client: FlaskClient, address: str, story: list[int]) -> None:
    seen: list[int] = []
    after = "0"
    while True:
        page = client.get(f"{address}?limit=2&after={after}").json
        seen += [event["id"] for event in page["data"]]
        if not page["has_more"]:
            break
        after = page["next"]
    assert seen == story
    assert client.get(f"{address}?after={story[-1]}").json["data"] == []


@pytest.mark.parametrize(
    "query",
    ["after=-1", "after=x", "after=99999999999999999999", "limit=0", "limit=101", "colour=red"],
)
def test_a_wrong_query_is_refused(client: FlaskClient, address: str, query: str) -> None:
    assert refused_fields(client.get(f"{address}?{query}")) == [[query.partition("=")[0]]]
    assert refused_fields(client.get(f"{address}?{query}", headers=STREAM)) == [
        [query.partition("=")[0]]
    ]


@pytest.mark.parametrize("given", ["-1", "x", "1.5.2", "99999999999999999999", "\u0661"])
def test_a_wrong_last_event_id_is_refused(client: FlaskClient, address: str, given: str) -> None:
    headers = STREAM | {"Last-Event-ID": given.encode().decode("latin-1")}
    assert refused_fields(client.get(address, headers=headers)) == [["Last-Event-ID"]]


def test_a_stream_tells_the_story_and_ends_with_the_job(
    client: FlaskClient, address: str, story: list[int], job: dict[str, Any]
) -> None:
    client.post(f"{job['links']['self']}/cancel")
    response = client.get(address, headers=STREAM)
    assert response.mimetype == "text/event-stream"
    told = events_of(response.text)
    assert [identifier for identifier, _ in told][: len(story)] == story
    assert all(event["id"] == identifier for identifier, event in told)
    assert (told[-1][1]["type"], told[-1][1]["data"]["state"]) == ("state", "cancelled")


def test_a_client_that_comes_back_goes_on_where_it_was(
    client: FlaskClient, address: str, story: list[int], job: dict[str, Any]
) -> None:
    client.post(f"{job['links']['self']}/cancel")
    rest = client.get(address, headers=STREAM | {"Last-Event-ID": str(story[1])}).text
    ids = [identifier for identifier, _ in events_of(rest)]
    assert ids[:-1] == story[2:]
    # After the end, 204 is how a browser is told to stop coming back.
    after_end = client.get(address, headers=STREAM | {"Last-Event-ID": str(ids[-1])})
    assert (after_end.status_code, after_end.data) == (204, b"")


def events_in(response: TestResponse) -> Iterator[tuple[Any, dict[str, Any]]]:
    """The events of a stream, one by one as they come."""
    for frame in response.iter_encoded():
        yield from events_of(frame.decode())


def test_a_stream_follows_a_job_as_things_happen(
    client: FlaskClient, backend: Backend, address: str, job: dict[str, Any]
) -> None:
    response = client.get(address, headers=STREAM, buffered=False)
    told = events_in(response)
    identifier, event = next(told)
    assert (event["type"], identifier) == ("state", event["id"])
    identifier, event = next(told)
    assert "estimate" in event["data"]
    identifier, event = next(told)
    # Live progress has no id: a client that comes back must not ask for what came after it.
    assert (event["type"], identifier) == ("progress", None)
    assert event["data"]["queue_position"] == 1
    threading.Timer(0.3, jobs.cancel, (backend, "local", job["id"])).start()
    rest = [event for _, event in told]
    assert (rest[-1]["type"], rest[-1]["data"]["state"]) == ("state", "cancelled")
    response.close()


def test_a_second_watcher_is_told_each_event_once(
    client: FlaskClient, backend: Backend, address: str, story: list[int], job: dict[str, Any]
) -> None:
    first = client.get(address, headers=STREAM, buffered=False)
    told = events_in(first)
    while next(told)[1]["type"] != "progress":  # from here on the job is watched
        pass
    with backend.database.writing() as connection:
        contract.append(connection, job["id"], "metrics", {"step": 5, "train_loss": 0.1})
    newest = next(identifier for identifier, event in told if event["type"] == "metrics")
    jobs.cancel(backend, "local", job["id"])
    second = events_in(client.get(address, headers=STREAM, buffered=False))
    ids = [identifier for identifier, event in second if event["type"] != "progress"]
    assert ids[: len(story) + 1] == [*story, newest]
    assert ids == sorted(set(ids))
    first.close()


PROMPTS = ["what is your", "what is capital of india", "ok"]


@pytest.fixture
def written(client: FlaskClient, model: Model) -> dict[str, Any]:
    """A prediction in the queue whose texts have several pieces."""
    sampling = {"max_tokens": 4, "temperature": 2, "seed": 1}
    body = {"kind": "predict", "model": model.id, "prompts": PROMPTS, "sampling": sampling}
    job: dict[str, Any] = client.post("/api/v1/jobs", json=body).json
    return job


def predict(backend: Backend) -> None:
    """What a predictor does with the job that waits."""
    predictor = Predictor(backend, "predict@here", lambda: False)
    while (claim := leases.claim(backend, "predict", "predict@here")) is not None:
        predictor.run(claim)


def texts_of(events: list[tuple[Any, dict[str, Any]]]) -> list[str]:
    """The texts put together from their pieces, as a client does it."""
    texts: dict[int, str] = {}
    for _, event in events:
        if event["type"] == "token":
            piece = event["data"]
            before = "" if piece["begins"] else texts[piece["index"]]
            texts[piece["index"]] = before + piece["text"]
    return [texts[number] for number in sorted(texts)]


def test_what_a_prediction_writes_is_followed_and_told_again(
    client: FlaskClient, backend: Backend, written: dict[str, Any]
) -> None:
    address = written["links"]["events"]
    told = events_in(client.get(address, headers=STREAM, buffered=False))
    live = []
    while not live or live[-1][1]["type"] != "progress":  # from here on the job is watched
        live.append(next(told))
    writer = threading.Thread(target=predict, args=(backend,))
    writer.start()
    live += told  # until its end
    writer.join()
    results = client.get(written["links"]["self"]).json["result"]["results"]
    expected = [result["completions"][0]["text"] for result in results]
    assert texts_of(live) == expected
    assert sum(event["type"] == "token" for _, event in live) >= len(PROMPTS)
    assert all(event["id"] == at for at, event in live if event["type"] == "token")
    # Afterwards it is the same story; behind any of its events goes on what came after that one.
    whole = [(at, event) for at, event in live if event["type"] != "progress"]
    assert events_of(client.get(address, headers=STREAM).text) == whole
    assert [event["data"].get("state") for _, event in whole][-1] == "succeeded"
    for place, (identifier, _) in enumerate(whole[:-1]):
        again = client.get(address, headers=STREAM | {"Last-Event-ID": str(identifier)})
        found = events_of(again.text)
        if "." in str(identifier):
            assert found == whole[place + 1 :]
        else:  # from before the first piece
            assert [each for each in found if each[1]["type"] != "token"] == [
                each for each in whole[place + 1 :] if each[1]["type"] != "token"
            ]
    last = STREAM | {"Last-Event-ID": str(whole[-1][0])}
    assert client.get(address, headers=last).status_code == 204


def test_a_text_that_is_begun_again_says_so(
    client: FlaskClient, backend: Backend, written: dict[str, Any]
) -> None:
    killed = Written(backend.live, written["id"])
    killed.begin(0)
    killed.add("half a te")
    killed.tell()
    predict(backend)
    stream = events_of(client.get(written["links"]["events"], headers=STREAM).text)
    results = client.get(written["links"]["self"]).json["result"]["results"]
    assert texts_of(stream) == [result["completions"][0]["text"] for result in results]


def test_pieces_that_redis_has_lost_are_not_missed(
    client: FlaskClient, backend: Backend, written: dict[str, Any]
) -> None:
    predict(backend)
    with redis.Redis.from_url(backend.settings.effective_redis_url) as queue:
        queue.flushall()
    stream = events_of(client.get(written["links"]["events"], headers=STREAM).text)
    assert texts_of(stream) == []
    assert stream[-1][1]["data"]["result"]["results"]


def test_a_job_that_writes_without_end_fills_nothing(
    backend: Backend, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(written_module, "MOST_PIECES", 10)
    monkeypatch.setattr(written_module, "TELL_SECONDS", 0.0)
    writer = Written(backend.live, "job-1")
    for _ in range(50):
        writer.add("a")
    writer.tell()
    assert len(backend.live.pieces("job-1", 0)) == 10


@pytest.mark.parametrize("given", ["1.", ".1", "1.2.3", "1.x", "1.-1", f"1.{2**53}"])
def test_half_a_place_is_no_event(client: FlaskClient, address: str, given: str) -> None:
    answer = client.get(address, headers=STREAM | {"Last-Event-ID": given})
    assert refused_fields(answer) == [["Last-Event-ID"]]


def test_a_stream_ends_when_its_job_is_removed(
    client: FlaskClient, backend: Backend, address: str, job: dict[str, Any]
) -> None:
    response = client.get(address, headers=STREAM, buffered=False)
    frames = response.iter_encoded()
    next(frames)
    jobs.cancel(backend, "local", job["id"])
    jobs.delete(backend, "local", job["id"])
    assert b"cancelled" not in b"".join(frames)
    response.close()


def test_too_many_streams_are_503_and_closed_ones_do_not_count(
    app: Flask, client: FlaskClient, address: str
) -> None:
    open_streams = [client.get(address, headers=STREAM) for _ in range(PLACES["stream"])]
    refused = client.get(address, headers=STREAM)
    problem_of(refused, 503)
    assert int(refused.headers["Retry-After"]) > 0
    for response in open_streams:
        response.close()
    again = client.get(address, headers=STREAM)
    assert again.status_code == 200
    again.close()


def test_browsers_and_programs_choose_by_accept(client: FlaskClient, address: str) -> None:
    for accept in ("*/*", "application/json", "text/html, */*;q=0.8"):
        assert client.get(address, headers={"Accept": accept}).mimetype == "application/json"
