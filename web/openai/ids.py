"""Our ids in the form OpenAI's clients know them, and back.

The form is the only difference: whoever copies an id from a page may use it here as it is.
"""

import re

from worker.records import Job, Model

FINE_TUNED = "ft"
# Presets of ours stand where OpenAI has models to start from.
BASE_MODELS = {f"lstm-{preset}": preset for preset in ("char", "word", "subword", "tutorial")}
_UNSAFE = re.compile(r"[^\w.-]+")


def file_id(dataset: str) -> str:
    """`data-3f…` → `file-3f…`."""
    return _swap(dataset, "data-", "file-")


def dataset_id(file: str) -> str:
    """And back."""
    return _swap(file, "file-", "data-")


def fine_tuning_id(job: str) -> str:
    """`job-3f…` → `ftjob-3f…`."""
    return _swap(job, "job-", "ftjob-")


def job_id(fine_tuning: str) -> str:
    """And back."""
    return _swap(fine_tuning, "ftjob-", "job-")


def model_name(model: Model) -> str:
    """`ft:lstm-word:alice:facts:3f…`: readable, and its last part never changes."""
    return _fine_tuned(model.config.get("preset", "char"), model.owner, model.name, model.id)


def future_model_name(job: Job) -> str | None:
    """The same for the model a training left behind; None as long as there is none."""
    model = (job.result or {}).get("model")
    return _fine_tuned(job.config["preset"], job.owner, job.name, model) if model else None


def checkpoint_name(job: Job) -> str:
    """How the best model of a training is asked for while it goes on: `….:ckpt-step-120`."""
    step = (job.candidate or {}).get("step")
    name = _fine_tuned(job.config["preset"], job.owner, job.name, job.id)
    return f"{name}:ckpt-step-{step}"


def model_reference(name: str) -> str:
    """What our own functions find a model by: its id when `name` has the form above, else `name`.

    A training's id stands for the best model it has so far.
    """
    if not name.startswith(f"{FINE_TUNED}:"):
        return _swap(name, "ftjob-", "job-")
    parts = name.split(":")
    if parts[-1].startswith("ckpt-step-"):
        return f"job-{parts[-2]}"
    return f"model-{parts[-1]}"


def _fine_tuned(preset: str, owner: str, name: str, identifier: str) -> str:
    middle = [_UNSAFE.sub("-", part).strip("-") or "-" for part in (owner, name)]
    return ":".join([FINE_TUNED, f"lstm-{preset}", *middle, identifier.partition("-")[2]])


def _swap(identifier: str, prefix: str, other: str) -> str:
    if not identifier.startswith(prefix):
        return identifier
    return other + identifier.removeprefix(prefix)
