"""`/metrics`: what Prometheus reads, and whom it names (nobody)."""

from typing import Any

import pytest
from flask.testing import FlaskClient
from prometheus_client.parser import text_string_to_metric_families

from tests.worker.test_leases import claimed
from web import create_app, metrics
from worker import counters, leases
from worker.backend import Backend, open_backend
from worker.records import JobState, Progress
from worker.settings import Settings

NOWHERE = "unix:///nowhere/valkey.sock"
SLICE = {"worker": "w", "seconds": 20.0, "save_seconds": 0.25, "tokens": 1000}


@pytest.fixture(autouse=True)
def _fresh(monkeypatch: pytest.MonkeyPatch) -> None:
    """A test looks more often than Prometheus does."""
    monkeypatch.setattr(metrics, "FRESH_SECONDS", 0.0)


class Samples(dict[str, float]):
    """Every sample of an answer by its name and labels, as Prometheus spells them."""

    def __init__(self, client: FlaskClient) -> None:
        answer = client.get("/metrics")
        assert answer.status_code == 200
        self.text = answer.text
        for family in text_string_to_metric_families(answer.text):
            for sample in family.samples:
                labels = ",".join(f'{name}="{value}"' for name, value in sample.labels.items())
                self[f"{sample.name}{{{labels}}}" if labels else sample.name] = sample.value


def test_a_waiting_job_is_the_depth_and_the_age_of_its_queue(
    client: FlaskClient, job: dict[str, Any]
) -> None:
    samples = Samples(client)
    assert samples['lstmq_jobs{kind="train",state="queued"}'] == 1
    assert samples['lstmq_queue_depth{kind="train"}'] == 1
    assert samples['lstmq_queue_depth{kind="predict"}'] == 0
    assert 0 <= samples['lstmq_queue_age_seconds{kind="train"}'] < 60
    assert samples["lstmq_datasets"] == 1
    assert samples['lstmq_up{part="redis"}'] == samples['lstmq_up{part="database"}'] == 1
    for name in (job["id"], job["name"], job["dataset"], "local"):
        assert name not in samples.text


def test_a_published_slice_is_counted_with_what_it_did(
    client: FlaskClient, backend: Backend, job: dict[str, Any]
) -> None:
    for number in (1, 2):
        claim = claimed(backend)
        done = leases.Publication(JobState.RUNNING, Progress(step=number), slice=SLICE)
        leases.publish(backend, claim, done)
    claim = claimed(backend)
    leases.give_back(backend, claim.owner, "it died")
    samples = Samples(client)
    assert samples['lstmq_slices_total{kind="train"}'] == 2
    assert samples["lstmq_trained_tokens_total"] == 2000
    assert samples["lstmq_slice_save_seconds_total"] == 0.5
    assert samples['lstmq_slice_seconds_bucket{le="10.0"}'] == 0
    assert samples['lstmq_slice_seconds_bucket{le="20.0"}'] == 2
    assert samples['lstmq_slice_seconds_bucket{le="+Inf"}'] == 2
    assert samples["lstmq_slice_seconds_sum"] == 40
    assert samples['lstmq_recoveries_total{kind="train",reason="child_died"}'] == 1


def test_requests_are_timed_by_route_and_not_by_path(
    client: FlaskClient, job: dict[str, Any]
) -> None:
    for _ in range(3):
        client.get(f"/api/v1/jobs/{job['id']}")
    client.get("/no/such/page")
    samples = Samples(client)
    ours = [
        (name, value)
        for name, value in samples.items()
        if "/api/v1/jobs/<" in name and "count" in name
    ]
    assert [value for _, value in ours] == [3]
    assert 'method="OTHER"' in samples.text
    assert "/no/such/page" not in samples.text


def test_what_is_away_is_missing_and_said(settings: Settings) -> None:
    app = create_app(settings.model_copy(update={"redis_url": NOWHERE}))
    samples = Samples(app.test_client())
    app.extensions["lstmq"].close()
    assert samples['lstmq_up{part="redis"}'] == 0
    assert samples['lstmq_up{part="database"}'] == 1
    assert not any(name.startswith("lstmq_slices") for name in samples)


def test_with_keys_it_needs_one(settings: Settings) -> None:
    app = create_app(settings.model_copy(update={"api_keys": {"ann": "a-key"}}))
    client = app.test_client()
    assert client.get("/metrics").status_code == 401
    answer = client.get("/metrics", headers={"Authorization": "Bearer a-key"})
    assert answer.status_code == 200
    app.extensions["lstmq"].close()


@pytest.mark.parametrize("seen", [0.0, 0.5, 0.6, 1e9])
def test_a_value_lies_in_every_bucket_that_reaches_it(seen: float) -> None:
    histogram = counters.SLICE_SECONDS
    [(labels, buckets, total)] = counters.distribution(histogram.fields(seen), histogram)
    assert (labels, total) == ([], seen)
    assert dict(buckets)["+Inf"] == 1
    for bound, count in buckets:
        assert count == (seen <= float(bound))


def test_a_count_without_redis_holds_up_nobody(settings: Settings) -> None:
    backend = open_backend(settings.model_copy(update={"redis_url": NOWHERE}))
    backend.live.count(counters.SLICES.fields(1, "train"))
    backend.close()
