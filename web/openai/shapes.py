"""Trainings as OpenAI's clients read them."""

import time
from typing import Any, Literal

from pydantic import BaseModel, Field

from web.openai.ids import checkpoint_name, file_id, fine_tuning_id, future_model_name
from web.openai.lists import Answer
from worker import models
from worker.records import Event, Job, JobState, Json

EVENT_PREFIX = "ftevent-"


class ErrorAnswer(BaseModel):
    """Why a job failed."""

    code: str
    message: str
    param: str | None = None


class HyperparametersAnswer(BaseModel):
    """What was chosen."""

    n_epochs: int
    batch_size: int
    learning_rate_multiplier: Literal["auto"] | float = "auto"


class SupervisedAnswer(BaseModel):
    """The settings of the only method."""

    hyperparameters: HyperparametersAnswer


class MethodAnswer(BaseModel):
    """How it learns."""

    type: Literal["supervised"] = "supervised"
    supervised: SupervisedAnswer


class JobAnswer(Answer):
    """A training."""

    id: str
    object: Literal["fine_tuning.job"] = "fine_tuning.job"
    created_at: int
    finished_at: int | None
    estimated_finish: int | None
    status: JobState
    model: str
    fine_tuned_model: str | None
    organization_id: str
    training_file: str
    validation_file: str | None = None
    result_files: list[str] = Field(default_factory=list)
    trained_tokens: int | None = None
    seed: int
    hyperparameters: HyperparametersAnswer
    method: MethodAnswer
    integrations: list[Any] = Field(default_factory=list)
    metadata: dict[str, str] | None
    user_provided_suffix: str
    error: ErrorAnswer | None
    lstm: Json  # ours: what OpenAI's jobs do not tell

    @classmethod
    def of(cls, job: Job) -> "JobAnswer":
        """The training as these clients know it."""
        training = job.config["training"]
        chosen = HyperparametersAnswer(
            n_epochs=training["epochs"], batch_size=training["batch_size"]
        )
        left = job.progress.eta_seconds
        running = job.state is JobState.RUNNING
        return cls(
            id=fine_tuning_id(job.id),
            created_at=int(job.created_at),
            finished_at=None if job.finished_at is None else int(job.finished_at),
            estimated_finish=int(time.time() + left) if running and left is not None else None,
            status=job.state,
            model=f"lstm-{job.config['preset']}",
            fine_tuned_model=future_model_name(job),
            organization_id=job.owner,
            training_file=file_id(job.dataset or ""),
            seed=training["seed"],
            hyperparameters=chosen,
            method=MethodAnswer(supervised=SupervisedAnswer(hyperparameters=chosen)),
            metadata=job.metadata or None,
            user_provided_suffix=job.name,
            error=ErrorAnswer(**job.error) if job.error else None,
            lstm={
                "job": job.id,
                "queue_position": job.queue_position,
                "step": job.progress.step,
                "total_steps": job.progress.total_steps,
                "fraction": job.progress.fraction,
                "tokens_per_second": job.progress.tokens_per_second,
                "metrics": job.metrics,
                "config": job.config,
            },
        )


class EventAnswer(Answer):
    """Something that happened."""

    id: str
    object: Literal["fine_tuning.job.event"] = "fine_tuning.job.event"
    created_at: int
    level: Literal["info", "warn", "error"]
    message: str
    type: Literal["message", "metrics"]
    data: Json

    @classmethod
    def of(cls, event: Event) -> "EventAnswer":
        """The event in a sentence, its numbers beside it."""
        level = "error" if event.data.get("error") else "info"
        if event.data.get("level") in ("warning", "error"):
            level = "warn" if event.data["level"] == "warning" else "error"
        is_metrics = event.type == "metrics"
        return cls.model_validate(
            {
                "id": f"{EVENT_PREFIX}{event.id}",
                "created_at": int(event.at),
                "level": level,
                "message": _sentence(event),
                "type": "metrics" if is_metrics else "message",
                "data": _metrics(event.data) if is_metrics else event.data,
            }
        )


class CheckpointMetrics(BaseModel):
    """What was measured at a checkpoint, in nats a token."""

    step: int
    train_loss: float | None
    valid_loss: float | None
    full_valid_loss: float | None


class CheckpointAnswer(Answer):
    """The best model of a training so far, which can be asked like any other."""

    id: str
    object: Literal["fine_tuning.job.checkpoint"] = "fine_tuning.job.checkpoint"
    created_at: int
    fine_tuning_job_id: str
    fine_tuned_model_checkpoint: str
    step_number: int
    metrics: CheckpointMetrics

    @classmethod
    def of(cls, job: Job) -> "CheckpointAnswer | None":
        """The checkpoint of a job; None as long as it has learned nothing yet."""
        best = models.best_of(job)
        if best is None:
            return None
        step = best.metrics.get("step") or 0
        return cls(
            id=f"ftckpt_{job.id.partition('-')[2]}_{step}",
            created_at=int(best.created_at),
            fine_tuning_job_id=fine_tuning_id(job.id),
            fine_tuned_model_checkpoint=future_model_name(job) or checkpoint_name(job),
            step_number=step,
            metrics=CheckpointMetrics(**_metrics(best.metrics)),
        )


def _metrics(measured: Json) -> Json:
    """Our measurements under OpenAI's names."""
    return {
        "step": measured.get("step"),
        "train_loss": measured.get("train_loss"),
        "valid_loss": measured.get("validation_loss"),
        "full_valid_loss": measured.get("validation_loss"),
    }


def _sentence(event: Event) -> str:
    data = event.data
    if event.type == "metrics":
        parts = [f"Step {data.get('step')}"]
        for words, name in (
            ("training loss", "train_loss"),
            ("validation loss", "validation_loss"),
        ):
            if data.get(name) is not None:
                parts.append(f"{words}={data[name]:.4f}")
        return ", ".join(parts)
    if event.type == "state":
        error = data.get("error") or {}
        return error.get("message") or f"The job is {data.get('state')}."
    if event.type == "sample":
        return f"Sample at step {data.get('step')}: {data.get('text')}"
    if event.type == "slice":
        return f"Saved at step {data.get('to_step')}."
    return str(data.get("message", event.type))
