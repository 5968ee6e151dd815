"""Trainings as OpenAI's clients read them."""

import time
from typing import Any, Literal

from pydantic import BaseModel, Field

from web.openai.ids import checkpoint_name, file_id, fine_tuning_id, future_model_name
from web.openai.lists import OpenaiAnswer
from web.operation import about
from worker import models
from worker.records import Event, Job, JobState, Json

EVENT_PREFIX = "ftevent-"
_AUTO = ("auto", "auto")


class ErrorAnswer(BaseModel):
    """Why a job failed."""

    code: str = about("For programs.", "TrainingError")
    message: str = about("For people: what happened and what to do.", "It ran out of memory.")
    param: str | None = about("Never a parameter: those are checked first.", None, None)


class HyperparametersAnswer(BaseModel):
    """What was chosen."""

    n_epochs: int = about("Times the text is read.", 20)
    batch_size: int = about("Streams or pairs read side by side.", 16)
    learning_rate_multiplier: Literal["auto"] | float = about("The rate itself: `lstm`.", *_AUTO)


class SupervisedAnswer(BaseModel):
    """The settings of the only method."""

    hyperparameters: HyperparametersAnswer = Field(description="What was chosen.")


class MethodAnswer(BaseModel):
    """How it learns."""

    type: Literal["supervised"] = about("The only one.", "supervised", "supervised")
    supervised: SupervisedAnswer = Field(description="Its settings.")


class FineTuningAnswer(OpenaiAnswer):
    """A training."""

    id: str = about("Its id.", "ftjob-7b1d9e3f5a2c4d6e8f01")
    object: Literal["fine_tuning.job"] = about("What this is.", *("fine_tuning.job",) * 2)
    created_at: int = about("When it was accepted, in Unix seconds.", 1_900_000_000)
    finished_at: int | None = about("When it ended.", None)
    estimated_finish: int | None = about("When it will have ended.", 1_900_000_060)
    status: JobState = about("Where it is.", "running")
    model: str = about("What it started from.", "lstm-word")
    fine_tuned_model: str | None = about("What it made.", "ft:lstm-word:local:lesson:7b1d")
    organization_id: str = about("Whose it is.", "local")
    training_file: str = about("The text it reads.", "file-3f9c2b7a1e5d4c8b9a60")
    validation_file: str | None = about("A part of the training file is held out.", None, None)
    result_files: list[str] = about("Its events tell what would be there.", [], [])
    trained_tokens: int | None = about("Not counted.", None, None)
    seed: int = about("Start of all random numbers.", 0)
    hyperparameters: HyperparametersAnswer = Field(description="What was chosen.")
    method: MethodAnswer = Field(description="The same in its newer place.")
    integrations: list[Any] = about("There are none.", [], [])
    metadata: dict[str, str] | None = about("Your own keys and values.", {"course": "b"})
    user_provided_suffix: str = about("What you called it.", "lesson")
    error: ErrorAnswer | None = about("Why it failed.", None)
    lstm: Json = about("Ours: what OpenAI's jobs do not tell.", {"step": 120})

    @classmethod
    def of(cls, job: Job) -> "FineTuningAnswer":
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


class FineTuningEventAnswer(OpenaiAnswer):
    """Something that happened."""

    id: str = about("Its id.", "ftevent-17")
    object: Literal["fine_tuning.job.event"] = about(
        "What this is.", *("fine_tuning.job.event",) * 2
    )
    created_at: int = about("When it happened, in Unix seconds.", 1_900_000_000)
    level: Literal["info", "warn", "error"] = about("How serious it is.", "info")
    message: str = about("What happened, in a sentence.", "The job is running.")
    type: Literal["message", "metrics"] = about("Whether it has numbers.", "message")
    data: Json = about("The numbers, or what else is known.", {"state": "running"})

    @classmethod
    def of(cls, event: Event) -> "FineTuningEventAnswer":
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

    step: int = about("After so many steps.", 120)
    train_loss: float | None = about("On what is learned.", 0.12)
    valid_loss: float | None = about("On held-out text.", 0.34)
    full_valid_loss: float | None = about("The same: all of it is read.", 0.34)


class CheckpointAnswer(OpenaiAnswer):
    """The best model of a training so far, which can be asked like any other."""

    id: str = about("Its id.", "ftckpt_7b1d9e3f5a2c4d6e8f01_120")
    object: Literal["fine_tuning.job.checkpoint"] = about(
        "What this is.", *("fine_tuning.job.checkpoint",) * 2
    )
    created_at: int = about("When it was kept, in Unix seconds.", 1_900_000_000)
    fine_tuning_job_id: str = about("Of which training.", "ftjob-7b1d9e3f5a2c4d6e8f01")
    fine_tuned_model_checkpoint: str = about("What `model` takes.", "ft:lstm-word:local:lesson:7b")
    step_number: int = about("After so many steps.", 120)
    metrics: CheckpointMetrics = Field(description="What was measured.")

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
