"""The records of the service: frozen values, read from SQL and shown to clients.

Nothing here touches a database, a queue or a tensor. A record is changed only by the functions of
`datasets`, `jobs`, `models` and `leases`, which allow or refuse the move. Times are seconds since
the Unix epoch by the database's clock; losses are nats a token.
"""

from collections.abc import Mapping
from dataclasses import dataclass, field, fields, replace
from enum import StrEnum
from typing import Any, Generic, Literal, TypeVar

JobKind = Literal["train", "predict", "evaluate"]
Json = dict[str, Any]
T = TypeVar("T")


class Priority(StrEnum):
    """How soon a job's turn comes; waiting raises it."""

    LOW = "low"
    NORMAL = "normal"
    HIGH = "high"


class JobState(StrEnum):
    """Where a job is. The last three are final and never change again."""

    QUEUED = "queued"  # waiting for a worker
    RUNNING = "running"  # being worked on, or between two of its slices
    PAUSED = "paused"  # stopped by its owner, can be resumed
    SUCCEEDED = "succeeded"  # finished, has a result
    FAILED = "failed"  # cannot be finished, `error` says why
    CANCELLED = "cancelled"  # stopped for good by its owner, keeps what was learned

    @property
    def final(self) -> bool:
        """Whether the job will never change again."""
        return self in FINAL_STATES


FINAL_STATES = frozenset({JobState.SUCCEEDED, JobState.FAILED, JobState.CANCELLED})
ACTIVE_STATES = frozenset(JobState) - FINAL_STATES


@dataclass(frozen=True)
class StoredFile:
    """One artifact in the store, immutable once a record names it."""

    key: str  # where it lies in the store
    sha256: str  # hex digest of its bytes
    bytes: int  # its size


@dataclass(frozen=True)
class Dataset:
    """A text somebody gave us, decoded, parsed and stored once."""

    id: str
    owner: str
    name: str
    layout: str  # "text", "lines" or "pairs", see lstmcore.corpus
    file: StoredFile  # the canonical UTF-8 form
    report: Json  # what was found in it: encoding, newline, counts, notes
    created_at: float
    came_with_job: bool = False  # pasted for one job: goes when no job uses it any more


@dataclass(frozen=True)
class Progress:
    """How far a training is; a snapshot, possibly a second old."""

    step: int = 0
    total_steps: int | None = None
    epoch: int = 0
    total_epochs: int | None = None
    tokens_per_second: float | None = None
    eta_seconds: float | None = None

    def not_behind(self, shown: "Progress") -> "Progress":
        """This progress, its steps and epochs no fewer than those shown before."""
        if shown.step <= self.step:
            return self
        return replace(self, step=shown.step, epoch=max(shown.epoch, self.epoch))

    @property
    def fraction(self) -> float:
        """Share of the work done, 0 to 1."""
        return min(1.0, self.step / self.total_steps) if self.total_steps else 0.0


@dataclass(frozen=True)
class Job:
    """One piece of durable work. The row is the truth; a message only says that there is work."""

    id: str
    owner: str
    kind: JobKind
    name: str
    state: JobState
    config: Json  # train: the resolved TrainConfig; predict: model, prompts, sampling
    dataset: str | None  # id of the dataset a training reads
    priority: Priority
    created_at: float
    started_at: float | None
    finished_at: float | None
    version: int  # grows with every change of the record
    slices: int  # published so far; also the number of the newest checkpoint
    progress: Progress
    metrics: Json  # train_loss, validation_loss, validation_perplexity
    pending: Literal["cancel", "pause"] | None  # asked for, not yet in effect
    error: Json | None  # {"code", "message"}
    result: Json | None
    checkpoint: StoredFile | None  # newest published
    previous_checkpoint: StoredFile | None  # the one before, kept in case the newest is damaged
    candidate: Json | None  # best model so far: {"step", "metrics", "files": {name: {...}}}
    attempts: int  # deaths of the training child at this slice
    metadata: Json = field(default_factory=dict)  # the owner's own keys and values
    queue_position: int | None = None  # 1 = next; None when not waiting


@dataclass(frozen=True)
class Trial:
    """One training of a sweep."""

    number: int  # from 0
    settings: Json  # what it tries, by the setting's path
    job: Job | None  # None: not submitted yet, or deleted since, or not asked for
    scores: list[float | None]  # its loss at each rung it reached


@dataclass(frozen=True)
class Sweep:
    """A search for good settings. Its states are a job's: running until every trial ended."""

    id: str
    owner: str
    name: str
    state: JobState
    dataset: str
    request: Json  # config, space, method, halving_factor, seed, priority
    rungs: list[float]  # shares of a training after which losers stop
    rung: int  # the next of them; -1 until every trial is a job
    trials: list[Trial]
    best: Json | None  # {"trial", "job", "model", "loss"}
    error: Json | None  # {"code", "message"}
    created_at: float
    finished_at: float | None


@dataclass(frozen=True)
class Model:
    """A trained model: a name somebody chose and the files of its folder."""

    id: str
    owner: str
    name: str
    job: str | None  # the training it came from; None when imported
    created_at: float
    config: Json  # the TrainConfig it was trained with
    metrics: Json
    files: dict[str, StoredFile] = field(default_factory=dict)  # by their names in the folder


@dataclass(frozen=True)
class Event:
    """Something that happened to a job; ids grow, clients ask for what came after one."""

    id: int
    job: str
    type: Literal["state", "metrics", "sample", "slice", "log", "progress", "token"]
    at: float
    data: Json


@dataclass(frozen=True)
class WorkerInfo:
    """A live worker process, as it last reported."""

    name: str
    queue: Literal["train", "predict"]
    host: str
    pid: int
    started_at: float
    seen_at: float
    job: str | None  # what it is working on
    threads: int
    version: str
    job_since: float | None = None  # when it took the present slice of that job, by its own clock
    tables: str = ""  # the newest migration that its version knows
    place: str = ""  # the cores it runs on (`cores.place`)


def as_known(kind: type[T], told: Mapping[str, Any]) -> T:
    """A record that another process told as JSON; what a newer version adds to it is left out."""
    names = {each.name for each in fields(kind)}  # type: ignore[arg-type]
    return kind(**{name: value for name, value in told.items() if name in names})


@dataclass(frozen=True)
class Page(Generic[T]):
    """One page of a list: newest first; `next` is the `after` of the following page."""

    data: list[T]
    has_more: bool
    next: str | None
