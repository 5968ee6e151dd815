"""Records as the API's JSON: the shapes clients rely on, in one place.

Times are ISO 8601 in UTC, losses nats a token, numbers that JSON cannot write (an overflowed
perplexity) null.
"""

import json
import math
from collections.abc import Callable, Sequence
from dataclasses import asdict
from datetime import UTC, datetime
from typing import Any, TypeVar
from urllib.parse import quote

from flask import Response

from worker.records import Dataset, Event, Job, Json, Model, Page, WorkerInfo

ROOT = "/api/v1"
R = TypeVar("R")


def respond_json(
    payload: Any, status: int = 200, headers: dict[str, str] | None = None
) -> Response:
    """A JSON response that intermediaries do not keep."""
    response = Response(dump(payload) + "\n", status=status, mimetype="application/json")
    response.headers["Cache-Control"] = "no-store"
    response.headers.update(headers or {})
    return response


def dump(payload: Any) -> str:
    """`payload` as JSON on one line, in which every number is finite."""
    return json.dumps(_finite(payload), ensure_ascii=False, allow_nan=False)


def page_json(page: Page[R], shape: Callable[[R], Json]) -> Json:
    """A list's answer."""
    return {
        "data": [shape(record) for record in page.data],
        "has_more": page.has_more,
        "next": page.next,
    }


def dataset_json(dataset: Dataset) -> Json:
    """A dataset without its text."""
    return {
        "id": dataset.id,
        "object": "dataset",
        "name": dataset.name,
        "owner": dataset.owner,
        "created_at": iso_time(dataset.created_at),
        "layout": dataset.layout,
        "bytes": dataset.file.bytes,
        "sha256": dataset.file.sha256,
        "report": dataset.report,
        "links": {
            "self": f"{ROOT}/datasets/{dataset.id}",
            "preview": f"{ROOT}/datasets/{dataset.id}/preview",
        },
    }


def job_json(job: Job, workers_online: int | None) -> Json:
    """A job; `workers_online` is None while nobody knows (Redis is away)."""
    address = f"{ROOT}/jobs/{job.id}"
    links = {"self": address, "events": f"{address}/events"}
    if job.kind == "train" and job.result and job.result.get("model"):
        links["model"] = f"{ROOT}/models/{quote(job.result['model'])}"
    return {
        "id": job.id,
        "object": "job",
        "kind": job.kind,
        "name": job.name,
        "owner": job.owner,
        "state": job.state.value,
        "pending": job.pending,
        "priority": job.priority.value,
        "created_at": iso_time(job.created_at),
        "started_at": iso_time(job.started_at),
        "finished_at": iso_time(job.finished_at),
        "queue_position": job.queue_position,
        "workers_online": workers_online,
        "progress": asdict(job.progress) | {"fraction": job.progress.fraction},
        "metrics": metrics_json(job.metrics),
        "slices": job.slices,
        "dataset": job.dataset,
        "config": job.config,
        "error": job.error,
        "result": job.result,
        "links": links,
    }


def metrics_json(metrics: Json) -> Json:
    """The metrics every training has, null as long as they are unknown, and any others."""
    known = ("train_loss", "validation_loss", "validation_perplexity")
    return dict.fromkeys(known) | metrics


def event_json(event: Event) -> Json:
    """An event; its id is what `after` and `Last-Event-ID` take."""
    return {"id": event.id, "type": event.type, "at": iso_time(event.at), "data": event.data}


def model_json(model: Model) -> Json:
    """A model without its files' bytes; links go by the id, which never changes."""
    address = f"{ROOT}/models/{quote(model.id)}"
    links = {"self": address, "download": f"{address}/download", "predict": f"{address}/predict"}
    if model.job:
        links["job"] = f"{ROOT}/jobs/{model.job}"
    return {
        "id": model.id,
        "object": "model",
        "name": model.name,
        "owner": model.owner,
        "job": model.job,
        "created_at": iso_time(model.created_at),
        "config": model.config,
        "metrics": metrics_json(model.metrics),
        "files": [
            {"name": name, "bytes": file.bytes, "sha256": file.sha256}
            for name, file in model.files.items()
        ],
        "links": links,
    }


def worker_json(worker: WorkerInfo, visible_jobs: Sequence[str]) -> Json:
    """A worker; what it works on is named only to the job's owner."""
    return {
        "object": "worker",
        "name": worker.name,
        "queue": worker.queue,
        "host": worker.host,
        "pid": worker.pid,
        "started_at": iso_time(worker.started_at),
        "seen_at": iso_time(worker.seen_at),
        "busy": worker.job is not None,
        "job": worker.job if worker.job in visible_jobs else None,
        "threads": worker.threads,
        "version": worker.version,
    }


def iso_time(seconds: float | None) -> str | None:
    """Seconds since the Unix epoch as `2030-01-31T12:00:00.000Z`."""
    if seconds is None:
        return None
    moment = datetime.fromtimestamp(seconds, UTC).replace(tzinfo=None)
    return moment.isoformat(timespec="milliseconds") + "Z"


def _finite(value: Any) -> Any:
    if isinstance(value, float):
        return value if math.isfinite(value) else None
    if isinstance(value, dict):
        return {key: _finite(member) for key, member in value.items()}
    if isinstance(value, list | tuple):
        return [_finite(member) for member in value]
    return value
