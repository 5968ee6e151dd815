"""`/metrics`: what the service does, for Prometheus.

Gauges are asked of the records and of Redis when somebody looks, counters are kept in Redis by
whoever did the work (`worker.counters`), and only HTTP is counted in this process. With keys it
needs one, as every route does.
"""

import time
from collections.abc import Iterable, Iterator, Mapping
from functools import cache
from threading import Lock
from typing import get_args

from flask import Blueprint, Flask, Response, current_app, request
from prometheus_client import CollectorRegistry, generate_latest
from prometheus_client import Histogram as LocalHistogram
from prometheus_client.core import (
    CounterMetricFamily,
    GaugeMetricFamily,
    HistogramMetricFamily,
    Metric,
)
from prometheus_client.exposition import CONTENT_TYPE_LATEST
from prometheus_client.registry import Collector

from web.operation import Raw, describes
from web.request_id import seconds_so_far
from worker import counters, release
from worker.backend import Backend
from worker.census import take
from worker.errors import Unavailable
from worker.queue import QueueName

metrics = Blueprint("metrics", __name__)

REGISTRY = "lstmq-metrics"
# Many may look at once; the records are asked once in so many seconds.
FRESH_SECONDS = 2.0
SECONDS = (0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1, 2.5, 5, 10, 30, 60)


def count_requests(app: Flask, backend: Backend) -> None:
    """Give the app a registry and time every request until its answer begins."""
    registry = CollectorRegistry(auto_describe=False)
    registry.register(ServiceCollector(backend))
    seconds = LocalHistogram(
        "lstmq_http_request_seconds",
        "Seconds until the answer to a request began.",
        ("method", "route", "status"),
        buckets=SECONDS,
        registry=registry,
    )
    app.extensions[REGISTRY] = registry
    labelled = cache(seconds.labels)  # as many as there are routes and statuses

    @app.after_request
    def end(response: Response) -> Response:
        # The route's pattern, not the path: identifiers are nobody's business and have no end.
        route = request.url_rule.rule if request.url_rule else "unknown"
        method = request.method if request.url_rule else "OTHER"
        labelled(method, route, str(response.status_code)).observe(seconds_so_far())
        return response


@metrics.get("/metrics")
@describes(answers={200: Raw("text/plain", "Counters and gauges.", "lstmq_up 1\n")})
def show() -> Response:
    """Everything measured, in Prometheus' text format."""
    registry = _registry()
    return Response(generate_latest(registry), content_type=CONTENT_TYPE_LATEST)


def _registry() -> CollectorRegistry:
    registry: CollectorRegistry = current_app.extensions[REGISTRY]
    return registry


class ServiceCollector(Collector):
    """Asks records and Redis; what cannot be reached is missing, and `lstmq_up` says so."""

    def __init__(self, backend: Backend) -> None:
        self._backend = backend
        self._lock = Lock()
        self._asked_at, self._answer = float("-inf"), list[Metric]()

    def collect(self) -> Iterator[Metric]:
        """Every family, at most FRESH_SECONDS old."""
        with self._lock:
            if time.monotonic() - self._asked_at > FRESH_SECONDS:
                self._answer = [*self._of_records(), *self._of_redis()]
                self._asked_at = time.monotonic()
            answer = self._answer
        yield from answer

    def _of_records(self) -> Iterable[Metric]:
        try:
            census = take(self._backend)
        except Unavailable:
            return [_up("database", 0)]
        jobs = GaugeMetricFamily("lstmq_jobs", "Jobs by state.", labels=["kind", "state"])
        depth = GaugeMetricFamily(
            "lstmq_queue_depth", "Jobs that wait for a worker.", labels=["kind"]
        )
        age = GaugeMetricFamily(
            "lstmq_queue_age_seconds", "How long the oldest of them has waited.", labels=["kind"]
        )
        for (kind, state), count in census.jobs.items():
            jobs.add_metric([kind, state], count)
        for kind, waiting in census.waiting.items():
            depth.add_metric([kind], waiting.jobs)
            age.add_metric([kind], waiting.oldest_seconds)
        return [
            _up("database", 1),
            jobs,
            depth,
            age,
            GaugeMetricFamily("lstmq_models", "Models kept.", value=census.models),
            GaugeMetricFamily("lstmq_datasets", "Datasets kept.", value=census.datasets),
        ]

    def _of_redis(self) -> Iterable[Metric]:
        live = self._backend.live
        try:
            workers = live.workers()
            counts = live.counts()
            messages = {queue: live.waiting_messages(queue) for queue in get_args(QueueName)}
        except Unavailable:
            return [_up("redis", 0)]
        online = GaugeMetricFamily(
            "lstmq_workers", "Workers that reported lately.", labels=["queue", "state"]
        )
        waiting = GaugeMetricFamily(
            "lstmq_queue_messages", "Messages in Redis that nobody took yet.", labels=["queue"]
        )
        for queue in get_args(QueueName):
            of_queue = [worker for worker in workers if worker.queue == queue]
            busy = sum(worker.job is not None for worker in of_queue)
            online.add_metric([queue, "busy"], busy)
            online.add_metric([queue, "idle"], len(of_queue) - busy)
            waiting.add_metric([queue], messages[queue])
        others = GaugeMetricFamily(
            "lstmq_workers_of_other_versions",
            "Workers that are not of the web server's version.",
            value=len(release.others(workers)),
        )
        return [_up("redis", 1), online, others, waiting, *_counters(counts), *_histograms(counts)]


def _counters(counts: Mapping[str, float]) -> Iterator[Metric]:
    for counter in counters.COUNTERS:
        family = CounterMetricFamily(
            f"lstmq_{counter.name}", counter.help, labels=list(counter.labels)
        )
        for labels, value in counters.counted(counts, counter):
            family.add_metric(labels, value)
        if not counter.labels and not family.samples:
            family.add_metric([], 0.0)
        yield family


def _histograms(counts: Mapping[str, float]) -> Iterator[Metric]:
    for histogram in counters.HISTOGRAMS:
        family = HistogramMetricFamily(
            f"lstmq_{histogram.name}", histogram.help, labels=list(histogram.labels)
        )
        for labels, buckets, total in counters.distribution(counts, histogram):
            family.add_metric(labels, buckets, total)
        yield family


def _up(part: str, value: int) -> Metric:
    family = GaugeMetricFamily("lstmq_up", "Whether a part answers.", labels=["part"])
    family.add_metric([part], value)
    return family
