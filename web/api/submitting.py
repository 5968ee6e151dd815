"""What `POST /jobs` takes, and the jobs it asks for."""

from collections.abc import Callable
from contextlib import suppress
from typing import Any, Literal, TypeVar

from pydantic import Field

from web.api.datasets import create_from_text
from web.api.parsing import AskedPriority, Body, check, idempotency_key, inside
from web.api.predict import PromptBody
from web.api.shapes import DATASET_ID, MODEL_ID, Layout
from web.auth import current_backend, current_owner
from web.operation import about
from worker import datasets, readings, submissions
from worker.errors import InvalidInput, StoreError, Unavailable, WrongState
from worker.records import Dataset, Job, Json, Priority, Sweep

Reader = TypeVar("Reader", Job, Sweep)  # what is made and reads the text


class TrainBody(Body):
    """A training, on a stored dataset or on a text sent along."""

    kind: Literal["train"] = about("A training.", "train")
    name: str | None = about("Name of the job and its model; else the text's.", "lesson", None)
    dataset: str | None = about("The id of a stored text.", DATASET_ID, None)
    text: str | None = about("Or the text itself.", "what is your name : Jay\n", None)
    config: dict[str, Any] = Field(
        default_factory=dict,
        description="Settings; what is missing or `auto` is chosen from the data.",
        examples=[{"preset": "tutorial"}],
        json_schema_extra={"x-asked": "TrainConfig"},
    )
    priority: AskedPriority = about("Before others of yours, or after.", "normal", Priority.NORMAL)


class PredictBody(PromptBody):
    """A prediction that is kept: of prompts, or for each line of a stored text."""

    kind: Literal["predict"] = about("A prediction that is kept.", "predict")
    name: str | None = about("Name of the job.", "questions", None)
    model: str = about("A model, by id or name.", MODEL_ID)
    dataset: str | None = about(
        "Instead of prompts: a stored text, each line of which (or each of its prompts) is one. "
        "The answers are a file then: `/jobs/{id}/download`.",
        *(DATASET_ID, None),
    )
    priority: AskedPriority = about("Before others of yours, or after.", "normal", Priority.NORMAL)


class EvaluateBody(Body):
    """How well a model expects a text."""

    kind: Literal["evaluate"] = about("An evaluation.", "evaluate")
    name: str | None = about("Name of the job.", "lesson, held out", None)
    model: str = about("A model, by id or name.", MODEL_ID)
    dataset: str | None = about("The id of a stored text.", DATASET_ID, None)
    text: str | None = about("Or the text itself.", "what is your name\n", None)
    priority: AskedPriority = about("Before others of yours, or after.", "normal", Priority.NORMAL)


EXAMPLES = {
    "a training on a stored text": {
        "kind": "train",
        "dataset": DATASET_ID,
        "config": {"preset": "tutorial", "training": {"epochs": 20}},
    },
    "a training on a text sent along": {
        "kind": "train",
        "name": "greetings",
        "text": "good morning\ngood evening\ngood night\n",
    },
    "a prediction that is kept": {
        "kind": "predict",
        "model": MODEL_ID,
        "prompts": ["what is", "your name"],
        "sampling": {"max_tokens": 5, "temperature": 0},
    },
    "a prediction for each line of a text": {
        "kind": "predict",
        "model": MODEL_ID,
        "dataset": DATASET_ID,
        "sampling": {"max_tokens": 5, "seed": 1},
    },
    "an evaluation": {"kind": "evaluate", "model": MODEL_ID, "dataset": DATASET_ID},
}


def submit_any(value: Any) -> Job:
    """The job that a body of one of these kinds asks for. Raises InvalidInput."""
    kind = value.get("kind") if isinstance(value, dict) else None
    if kind == "train":
        return _train(check(TrainBody, value))
    if kind == "predict":
        return _predict(check(PredictBody, value))
    if kind == "evaluate":
        return _evaluate(check(EvaluateBody, value))
    message = "give `train`, `predict` or `evaluate`"
    raise InvalidInput("A job needs a `kind`.", [{"loc": ["kind"], "msg": message}])


def _train(body: TrainBody) -> Job:
    def submit(dataset: str) -> Job:
        with inside("config"):
            return submissions.submit_train(
                current_backend(),
                current_owner(),
                dataset=dataset,
                config=body.config,
                **_shared(body),
            )

    return on_text(submit, name=body.name, dataset=body.dataset, text=body.text)


def _evaluate(body: EvaluateBody) -> Job:
    where = (current_backend(), current_owner())

    def submit(dataset: str) -> Job:
        return readings.submit_evaluate(*where, model=body.model, dataset=dataset, **_shared(body))

    # A text that came along is read as the model's own was, whatever it looks like.
    layout = None if body.text is None else readings.layout_of(*where, body.model)
    return on_text(submit, name=body.name, dataset=body.dataset, text=body.text, layout=layout)


def _predict(body: PredictBody) -> Job:
    where = (current_backend(), current_owner())
    with inside("sampling"):
        if body.dataset is None:
            return submissions.submit_predict(
                *where,
                model=body.model,
                prompts=body.all_prompts(),
                single=body.prompts is None,
                sampling=body.sampling,
                **_shared(body),
            )
        if body.prompt is not None or body.prompts is not None:
            message = "give either this or prompts"
            raise InvalidInput("Give prompts or a text.", [{"loc": ["dataset"], "msg": message}])
        return readings.submit_predict(
            *where,
            model=body.model,
            dataset=body.dataset,
            sampling=body.sampling,
            **_shared(body),
        )


def on_text(
    submit: Callable[[str], Reader],
    *,
    name: str | None,
    dataset: str | None,
    text: str | None,
    layout: Layout | None = None,
) -> Reader:
    """Submit on the stored text, or on one that came along and is stored first."""
    if (dataset is None) == (text is None):
        raise InvalidInput(
            "Give either `dataset` or `text`.",
            [{"loc": ["dataset"], "msg": "give either `dataset` or `text`"}],
        )
    if dataset is not None:
        return submit(dataset)
    return on_stored(
        submit, create_from_text(name or "text", text or "", layout, came_with_job=True)
    )


def on_stored(submit: Callable[[str], Reader], stored: Dataset) -> Reader:
    """Submit on a text that was stored for it; it goes again when nothing came of it."""
    made = None
    try:
        made = submit(stored.id)
    finally:
        # Refused, or answered with what an earlier request made: then nothing reads this dataset.
        if made is None or made.dataset != stored.id:
            # Accepted after all, or nobody knows: then it stays, and retention looks after it.
            with suppress(WrongState, Unavailable, StoreError):
                datasets.delete(current_backend(), current_owner(), stored.id)
    return made


def _shared(body: TrainBody | PredictBody | EvaluateBody) -> Json:
    return {
        "name": body.name,
        "priority": body.priority,
        "idempotency_key": idempotency_key(),
    }
