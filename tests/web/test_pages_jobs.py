"""The list of jobs, a job's parts and files, comparing: without a browser."""

import csv
import io
import re
from typing import Any

import pytest
from flask.testing import FlaskClient
from werkzeug.test import TestResponse

from tests.web.answers import TUTORIAL, events_of
from tests.web.html import elements, hidden_fields, job_of, send
from web.pages.compare import MOST
from web.pages.failures import FIXES, OTHERWISE, fix
from web.pages.story import POINTS, Point, thinned
from worker import datasets, jobs, leases, readings, submissions
from worker.backend import Backend
from worker.queue import QUEUES
from worker.records import JobState, Model, Progress

HOSTILE = "<script>alert(1)</script><img src=x onerror=alert(2)>"


def submit(backend: Backend, name: str, **training: Any) -> str:
    text = datasets.create(backend, "local", name="t", data=TUTORIAL.encode() * 9)
    config = {"preset": "char", "training": training}
    return submissions.submit_train(backend, "local", name=name, dataset=text.id, config=config).id


def finish(backend: Backend, state: JobState = JobState.SUCCEEDED, **published: Any) -> str:
    """End the job whose turn it is as a worker would, with two measured losses."""
    claim = leases.claim(backend, "train", "somebody")
    assert claim is not None
    for step in (1, 2):
        told = {"step": step, "epoch": 1, "train_loss": 4.0 / step, "validation_loss": 5.0 / step}
        leases.record(backend, claim, [("metrics", told, f"metrics:{step}")])
    slice_ = {"worker": "train-1@here", "from_step": 0, "to_step": 2, "seconds": 1.5, "tokens": 300}
    slice_ |= {"memory_bytes": 2**28, "processor_seconds": 1.2}
    progress = Progress(step=2, total_steps=2)
    leases.publish(
        backend,
        claim,
        leases.Publication(state=state, progress=progress, metrics=told, slice=slice_, **published),
    )
    return claim.job.id


def names(client: FlaskClient, address: str) -> list[str]:
    page = client.get(address)
    assert page.status_code == 200
    return re.findall(r'class="name"><a [^>]*><bdi>([^<]*)', page.text)


def press(client: FlaskClient, **fields: object) -> TestResponse:
    token = hidden_fields(client.get("/").text)["csrf_token"]
    return client.post("/jobs/selected", data={"csrf_token": token} | fields)


# -- the list -------------------------------------------------------------------------------------


def test_the_list_is_searched_filtered_and_sorted(client: FlaskClient, backend: Backend) -> None:
    for name in ("bear", "Ant", "cat 100%"):
        submit(backend, name)
    finish(backend)
    assert names(client, "/jobs") == ["cat 100%", "Ant", "bear"]
    assert names(client, "/jobs?sort=oldest") == ["bear", "Ant", "cat 100%"]
    assert names(client, "/jobs?sort=name") == ["Ant", "bear", "cat 100%"]
    assert names(client, "/jobs?sort=finished")[-1] == "bear"
    assert names(client, "/jobs?q=A") == ["cat 100%", "Ant", "bear"]
    assert names(client, "/jobs?q=%25") == ["cat 100%"]
    assert names(client, "/jobs?kind=predict") == []
    assert names(client, "/jobs?state=succeeded") == ["bear"]
    assert "Nothing fits" in client.get("/jobs?q=zebra").text
    assert client.get("/jobs?kind=nonsense").status_code == 404


@pytest.mark.parametrize("sort", ["newest", "oldest", "name", "finished"])
def test_pages_of_every_order_show_each_job_once(
    client: FlaskClient, backend: Backend, monkeypatch: pytest.MonkeyPatch, sort: str
) -> None:
    monkeypatch.setattr("web.pages.job_list.PAGE_LENGTH", 2)
    expected = sorted(submit(backend, name) for name in ("b", "a", "b", "A", "c"))
    finish(backend)
    seen, address = list[str](), f"/jobs?sort={sort}"
    while address:
        page = client.get(address).text
        seen += [str(row["id"]) for row in elements(page, "li") if "id" in row]
        more = [a["href"] for a in elements(page, "a") if "after=" in str(a.get("href"))]
        address = str(more[-1]) if more else ""
    assert sorted(seen) == expected


def test_many_jobs_are_moved_with_one_button(client: FlaskClient, backend: Backend) -> None:
    chosen = [submit(backend, name) for name in ("one", "two", "three")]
    assert (
        client.post("/jobs/selected", data={"action": "cancel", "job": chosen}).status_code == 403
    )
    assert press(client, action="nonsense", job=chosen).status_code == 404

    def states() -> set[str]:
        return {jobs.get(backend, "local", name).state.value for name in chosen}

    for action, state in (("pause", "paused"), ("resume", "queued"), ("cancel", "cancelled")):
        response = press(client, action=action, job=chosen, back="q=o&state=&evil=1")
        assert response.location == "/jobs?q=o"
        assert states() == {state}
        assert "3 jobs" in client.get("/jobs").text
    # what cannot be is said, and the rest is done
    other = submit(backend, "four")
    press(client, action="cancel", job=[*chosen, other, "job-gone"])
    told = client.get("/jobs").text
    assert "1 job cancelled." in told
    assert "and 3 more" in told
    press(client, one=f"delete:{other}")
    press(client, action="delete", job=chosen)
    assert names(client, "/jobs") == []
    press(client, action="pause")
    assert "No job was chosen." in client.get("/jobs").text


def test_names_in_a_list_are_text_and_rows_have_labels(
    client: FlaskClient, backend: Backend
) -> None:
    submit(backend, HOSTILE)
    page = client.get("/jobs").text
    assert "<img" not in page
    assert "<script>alert" not in page
    (tick,) = [box for box in elements(page, "input") if box.get("name") == "job"]
    assert tick["aria-label"] == f"Choose {HOSTILE}"


def test_a_list_is_followed_until_its_jobs_are_final(client: FlaskClient, backend: Backend) -> None:
    first, second = submit(backend, "first"), submit(backend, "second")
    stream = client.get(f"/jobs/stream?job={first}&job={second}&job=job-unknown", buffered=False)
    frames = iter(stream.response)

    def next_row() -> dict[str, Any]:
        while True:
            text = next(frames)
            found = events_of(text if isinstance(text, str) else text.decode())
            if found:
                return found[0][1]

    rows = {row["id"]: row for row in (next_row(), next_row())}
    assert {row["note"] for row in rows.values()} == {"next in line", "number 2 in line"}
    for name in (first, second):
        jobs.cancel(backend, "local", name)
    last: dict[str, str] = {}
    for text in frames:
        for _, row in events_of(text if isinstance(text, str) else text.decode()):
            last[row["id"]] = row["state"]
    assert last == {first: "cancelled", second: "cancelled"}
    stream.close()
    assert client.get(f"/jobs/stream?job={first}").status_code == 204
    assert client.get("/jobs/stream").status_code == 204


# -- one job --------------------------------------------------------------------------------------


def test_the_parts_of_a_page_are_the_pages_own(client: FlaskClient, backend: Backend) -> None:
    identifier = submit(backend, "parts")
    page, parts = (client.get(f"/jobs/{identifier}{end}").text for end in ("", "/parts"))
    regions = [str(e["id"]) for e in elements(parts, "div") if "data-live" in e]
    assert regions == ["job-head", "job-result", "job-numbers"]
    assert regions == [str(e["id"]) for e in elements(page, "div") if "data-live" in e]
    assert client.get("/jobs/job-gone/parts").status_code == 404


def test_the_curve_is_a_file_and_slices_tell_what_they_used(
    client: FlaskClient, backend: Backend
) -> None:
    identifier = submit(backend, "curve")
    finish(backend)
    response = client.get(f"/jobs/{identifier}/curve.csv")
    assert response.mimetype == "text/csv"
    rows = list(csv.DictReader(io.StringIO(response.text)))
    assert [(row["step"], row["training_loss"]) for row in rows] == [("1", "4.0"), ("2", "2.0")]
    page = client.get(f"/jobs/{identifier}").text
    for words in ("256.0 MiB", "80 %", "train-1@here", "Expected and actual"):
        assert words in page


def test_a_failure_says_what_helps(client: FlaskClient, backend: Backend) -> None:
    identifier = submit(backend, "fails")
    finish(backend, JobState.FAILED, error={"code": "TrainingError", "message": "the loss is nan"})
    page = client.get(f"/jobs/{identifier}").text
    assert "The loss is nan." in page
    assert FIXES["TrainingError"] in page
    assert f'href="/?from={identifier}"' in page
    assert fix({"code": "never heard of"}) == fix(None) == OTHERWISE


def test_survived_faults_are_told_kindly(client: FlaskClient, backend: Backend) -> None:
    identifier = submit(backend, "survivor")
    claim = leases.claim(backend, "train", "somebody")
    assert claim is not None
    leases.give_back(backend, claim.owner, "it was ended from outside")
    page = client.get(f"/jobs/{identifier}").text
    (notice,) = [e for e in elements(page, "div") if e.get("id") == "faults"]
    assert "hidden" not in notice
    assert "it was ended from outside" in page


def test_a_long_curve_is_thinned_without_losing_its_peaks() -> None:
    curve: list[Point] = [(step, 1.0, None) for step in range(10_000)]
    curve[1234] = (1234, 99.0, None)
    curve[4321] = (4321, 0.1, None)
    thin = thinned(curve)
    assert len(thin) <= POINTS
    assert {curve[0], curve[1234], curve[4321], curve[-1]} <= set(thin)
    assert thin == sorted(thin)
    assert thinned(curve[:10]) == curve[:10]


def test_evaluations_and_answers_of_a_whole_text_have_pages(
    client: FlaskClient, backend: Backend, model: Model
) -> None:
    text = datasets.create(backend, "local", name="t", data=TUTORIAL.encode())
    for submit_one, result, words in (
        (readings.submit_evaluate, {"loss": 1.0, "unknown_share": 0.25}, ("2.72", "25 %")),
        (
            readings.submit_predict,
            {"prompts": 3, "bytes": 2048, "download": "/api/v1/jobs/x/download"},
            ("prompts of a text are answered", 'href="/api/v1/jobs/x/download"', "2.0 KiB"),
        ),
    ):
        arguments: dict[str, Any] = {"name": None, "model": model.id, "dataset": text.id}
        if submit_one is readings.submit_predict:
            arguments["sampling"] = {}
        job = submit_one(backend, "local", **arguments)
        waiting = client.get(f"/jobs/{job.id}")
        assert waiting.status_code == 200
        assert "Pause" not in waiting.text
        claim = leases.claim(backend, QUEUES[job.kind], "somebody")
        assert claim is not None
        leases.publish(backend, claim, leases.Publication(JobState.SUCCEEDED, result=result))
        page = client.get(f"/jobs/{job.id}").text
        for word in (*words, "Open the model"):
            assert word in page


# -- comparing ------------------------------------------------------------------------------------


def test_trainings_are_compared(client: FlaskClient, backend: Backend) -> None:
    assert "There is no training yet" in client.get("/compare").text
    first, second = submit(backend, "first", epochs=2), submit(backend, HOSTILE, epochs=3)
    finish(backend)
    page = client.get(f"/compare?job={first}&job={second}&job={first}").text
    assert re.findall(r'<th scope="row">Epochs</th><td>(\d)</td><td>(\d)</td>', page) == [
        ("2", "3")
    ]
    assert "Learning rate" not in page, "what is the same is not shown"
    assert "<img" not in page
    assert "It has left no model to ask yet." in page
    assert "1 of them" not in page
    assert "One of them is not shown" in client.get(f"/compare?job={first}&job=job-gone").text
    many = "&".join(f"job=job-{number}" for number in range(MOST + 5))
    assert client.get(f"/compare?{many}").status_code == 200


def test_another_owners_job_is_not_compared(client: FlaskClient, backend: Backend) -> None:
    text = datasets.create(backend, "alice", name="secret", data=TUTORIAL.encode())
    job = submissions.submit_train(
        backend, "alice", name="secret job", dataset=text.id, config={"preset": "char"}
    )
    assert "secret" not in client.get(f"/compare?job={job.id}").text
    assert client.get(f"/jobs/stream?job={job.id}").status_code == 204


def test_the_workers_page_counts_what_waits(client: FlaskClient, backend: Backend) -> None:
    job_of(send(client, text=TUTORIAL, preset="tutorial"))
    submit(backend, "another")
    finish(backend)
    backend.live.report_current("train-1@here", "job-of-nobody", 1.0)
    page = client.get("/workers").text
    assert re.search(r"<dt>Trainings in line</dt><dd>1</dd>", page)
    assert "docker compose up -d --scale worker=4" in page
