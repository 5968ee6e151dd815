"""Records as the API's JSON: the shapes clients rely on, in one place.

Times are ISO 8601 in UTC, losses nats a token, numbers that JSON cannot write (an overflowed
perplexity) null.
"""

from collections.abc import Callable, Sequence
from dataclasses import asdict
from datetime import UTC, datetime
from typing import Annotated, Generic, Literal, TypeVar
from urllib.parse import quote

from pydantic import BaseModel, ConfigDict, Field, WithJsonSchema

from web.operation import Answer, about
from worker.records import Dataset, Event, Job, JobKind, JobState, Json, Model, Page, Priority

ROOT = "/api/v1"
R = TypeVar("R")
T = TypeVar("T", bound=BaseModel)

EXAMPLE_TIME = "2030-01-31T12:00:00.000Z"
DATASET_ID = "data-3f9c2b7a1e5d4c8b9a60"
JOB_ID = "job-7b1d9e3f5a2c4d6e8f01"
MODEL_ID = "model-5c8e1f3a7b9d2c4e6f80"
SHA256 = "f5c8b8a7342e7b4a7c21c4eb626454eced19f11e271a13a3157fd305d2e00d91"

Time = Annotated[str, WithJsonSchema({"type": "string", "format": "date-time"})]
Layout = Literal["text", "lines", "pairs"]


class PageAnswer(Answer, Generic[T]):
    """One page of a list."""

    model_config = ConfigDict(json_schema_extra={"description": "One page of a list."})

    data: list[T] = Field(description="The records, newest first unless said otherwise.")
    has_more: bool = about("Whether there are more after these.", False)
    next: str | None = about(
        "Send this as `after` for the next page; null: this is the last.", None
    )


class DatasetReport(BaseModel):
    """What was found in a text."""

    model_config = ConfigDict(extra="allow")

    encoding: str = about("How its bytes were read.", "utf-8")
    newline: str | None = about("How its lines ended.", "LF", None)
    characters: int = about("Characters in it.", 57)
    lines: int = about("Lines that are not empty.", 3)
    documents: int = about("Texts that a model sees as separate.", 3)
    notes: list[str] = about("What one should know about how it was read.", [], [])


class DatasetLinks(Answer):
    """Where to go on."""

    self: str = about("This dataset.", f"{ROOT}/datasets/{DATASET_ID}")
    preview: str = about("What a model would see.", f"{ROOT}/datasets/{DATASET_ID}/preview")


class DatasetAnswer(Answer):
    """A stored text."""

    id: str = about("Its id.", DATASET_ID)
    object: Literal["dataset"] = about("What this is.", "dataset", "dataset")
    name: str = about("What its owner called it.", "lesson")
    owner: str = about("Whose it is.", "local")
    created_at: Time = about("When it was stored.", EXAMPLE_TIME)
    layout: Layout = about("One text, a text a line, or prompts with completions.", "lines")
    bytes: int = about("Size of what is kept, in UTF-8.", 59)
    sha256: str = about("Checksum of what is kept.", SHA256)
    report: DatasetReport = Field(description="What was found in it.")
    links: DatasetLinks = Field(description="Where to go on.")

    @classmethod
    def of(cls, dataset: Dataset) -> "DatasetAnswer":
        """A dataset without its text."""
        address = f"{ROOT}/datasets/{dataset.id}"
        return cls(
            id=dataset.id,
            name=dataset.name,
            owner=dataset.owner,
            created_at=some_time(dataset.created_at),
            layout=dataset.layout,
            bytes=dataset.file.bytes,
            sha256=dataset.file.sha256,
            report=DatasetReport(**dataset.report),
            links=DatasetLinks(self=address, preview=f"{address}/preview"),
        )


class Progress(Answer):
    """How far a job is; a snapshot, possibly a second old."""

    step: int = about("Steps done.", 120)
    total_steps: int | None = about("Steps to do, once that is known.", 300)
    epoch: int = about("Times the whole text was read.", 40)
    total_epochs: int | None = about("Times it will be read.", 100)
    tokens_per_second: float | None = about("Speed at the moment.", 15000.0)
    eta_seconds: float | None = about("Seconds left at this speed.", 2.5)
    fraction: float = about("Share of the work done, 0 to 1.", 0.4)


class Metrics(BaseModel):
    """What was measured last; losses are nats a token, null as long as they are unknown."""

    model_config = ConfigDict(extra="allow")

    train_loss: float | None = about("Loss on what is learned.", 0.12, None)
    validation_loss: float | None = about("Loss on held-out text.", 0.34, None)
    validation_perplexity: float | None = about("e to that power.", 1.4, None)


class JobError(BaseModel):
    """Why a job failed."""

    model_config = ConfigDict(extra="allow")

    code: str = about("For programs.", "TrainingError")
    message: str = about("For people: what happened and what to do.", "The loss is not a number.")


class JobLinks(Answer):
    """Where to go on."""

    self: str = about("This job.", f"{ROOT}/jobs/{JOB_ID}")
    events: str = about("Its story.", f"{ROOT}/jobs/{JOB_ID}/events")
    model: str | None = about("The trained model.", f"{ROOT}/models/{MODEL_ID}", None)


class JobAnswer(Answer):
    """One piece of durable work."""

    id: str = about("Its id.", JOB_ID)
    object: Literal["job"] = about("What this is.", "job", "job")
    kind: JobKind = about("What it does.", "train")
    name: str = about("What its owner called it.", "lesson")
    owner: str = about("Whose it is.", "local")
    state: JobState = about("Where it is; the last three never change again.", "running")
    pending: Literal["cancel", "pause"] | None = about("Asked for, not yet in effect.", None)
    priority: Priority = about("Before others of its owner, or after.", "normal")
    created_at: Time = about("When it was accepted.", EXAMPLE_TIME)
    started_at: Time | None = about("When a worker first took it.", EXAMPLE_TIME)
    finished_at: Time | None = about("When it reached its last state.", None)
    queue_position: int | None = about("1: next; null: it does not wait.", None)
    workers_online: int | None = about("Workers for its kind; null: nobody knows now.", 1)
    progress: Progress = Field(description="How far it is.")
    metrics: Metrics = Field(description="What was measured last.")
    slices: int = about("Slices of work published so far.", 1)
    dataset: str | None = about("The dataset it reads.", DATASET_ID)
    config: Json = about("All of its settings.", {"preset": "tutorial"})
    error: JobError | None = about("Why it failed.", None)
    result: Json | None = about(
        "What came of it. A training: `model` (the id), `checkpoint`, `stopped` (finished, early, "
        "time limit, cancelled, failed). A prediction: as `predict` answers.",
        None,
    )
    links: JobLinks = Field(description="Where to go on.")

    @classmethod
    def of(cls, job: Job, workers_online: int | None) -> "JobAnswer":
        """A job; `workers_online` is None while nobody knows (Redis is away)."""
        address = f"{ROOT}/jobs/{job.id}"
        links = JobLinks(self=address, events=f"{address}/events")
        if job.kind == "train" and job.result and job.result.get("model"):
            links.model = f"{ROOT}/models/{quote(job.result['model'])}"
        return cls(
            id=job.id,
            kind=job.kind,
            name=job.name,
            owner=job.owner,
            state=job.state,
            pending=job.pending,
            priority=job.priority,
            created_at=some_time(job.created_at),
            started_at=iso_time(job.started_at),
            finished_at=iso_time(job.finished_at),
            queue_position=job.queue_position,
            workers_online=workers_online,
            progress=progress_of(job),
            metrics=Metrics(**job.metrics),
            slices=job.slices,
            dataset=job.dataset,
            config=job.config,
            error=JobError(**job.error) if job.error else None,
            result=job.result,
            links=links,
        )


class EventAnswer(Answer):
    """Something that happened to a job."""

    id: int | str | None = about(
        "What `after` and `Last-Event-ID` take, of a `token` only the second; null: not kept.",
        17,
    )
    type: Literal["state", "progress", "metrics", "sample", "slice", "log", "token"] = about(
        "What kind of news it is.", "metrics"
    )
    at: Time | None = about("When it happened.", EXAMPLE_TIME)
    data: Json = about("The news.", {"step": 120, "train_loss": 0.12})

    @classmethod
    def of(cls, event: Event) -> "EventAnswer":
        """An event as it is kept."""
        return cls(id=event.id, type=event.type, at=iso_time(event.at), data=event.data)


class ModelFile(Answer):
    """A file of a model's folder."""

    name: str = about("Its name.", "model.safetensors")
    bytes: int = about("Its size.", 12016)
    sha256: str = about("Its checksum.", SHA256)


class ModelLinks(Answer):
    """Where to go on; by the id, which never changes."""

    self: str = about("This model.", f"{ROOT}/models/{MODEL_ID}")
    download: str = about("Its folder as a zip.", f"{ROOT}/models/{MODEL_ID}/download")
    predict: str = about("Where to ask it.", f"{ROOT}/models/{MODEL_ID}/predict")
    job: str | None = about("The training it came from.", f"{ROOT}/jobs/{JOB_ID}", None)


class ModelAnswer(Answer):
    """A trained model."""

    id: str = about("Its id.", MODEL_ID)
    object: Literal["model"] = about("What this is.", "model", "model")
    name: str = about("What its owner called it.", "lesson")
    owner: str = about("Whose it is.", "local")
    job: str | None = about("The training it came from; null: imported.", JOB_ID)
    created_at: Time = about("When it came to be.", EXAMPLE_TIME)
    config: Json = about("The settings it was trained with.", {"preset": "tutorial"})
    metrics: Metrics = Field(description="What was measured when it was saved.")
    files: list[ModelFile] = Field(description="What is in its folder.")
    links: ModelLinks = Field(description="Where to go on.")

    @classmethod
    def of(cls, model: Model) -> "ModelAnswer":
        """A model without its files' bytes."""
        address = f"{ROOT}/models/{quote(model.id)}"
        return cls(
            id=model.id,
            name=model.name,
            owner=model.owner,
            job=model.job,
            created_at=some_time(model.created_at),
            config=model.config,
            metrics=Metrics(**model.metrics),
            files=[
                ModelFile(name=name, bytes=file.bytes, sha256=file.sha256)
                for name, file in model.files.items()
            ],
            links=ModelLinks(
                self=address,
                download=f"{address}/download",
                predict=f"{address}/predict",
                job=f"{ROOT}/jobs/{model.job}" if model.job else None,
            ),
        )


def page_of(page: Page[R], shape: Callable[[R], T]) -> PageAnswer[T]:
    """A list's answer."""
    return list_of([shape(record) for record in page.data], page.has_more, page.next)


def list_of(data: Sequence[T], has_more: bool = False, after: str | None = None) -> PageAnswer[T]:
    """The same of what is in hand."""
    # Not checked again: each of them was when it was made.
    return PageAnswer.model_construct(data=list(data), has_more=has_more, next=after)


def progress_of(job: Job) -> Progress:
    """How far a job is."""
    return Progress(**asdict(job.progress), fraction=job.progress.fraction)


def some_time(seconds: float) -> str:
    """Seconds since the Unix epoch as `2030-01-31T12:00:00.000Z`."""
    moment = datetime.fromtimestamp(seconds, UTC).replace(tzinfo=None)
    return moment.isoformat(timespec="milliseconds") + "Z"


def iso_time(seconds: float | None) -> str | None:
    """The same, of a time that may not have come yet."""
    return None if seconds is None else some_time(seconds)
