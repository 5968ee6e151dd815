"""`/models` and `/models/{id or name}`: trained models, and a place to play with one."""

from textwrap import shorten
from typing import Any

from flask import render_template, request, url_for
from werkzeug.wrappers import Response

from lstmcore.config import FIELD_HELP, Sampling
from lstmcore.errors import LSTMError
from lstmcore.model_record import CARD, SETTINGS, ModelRecord, parse_model_record
from web.auth import current_backend, current_owner
from web.pages.blueprint import pages, see_other
from web.pages.wording import sentence
from web.security import check_csrf
from worker import datasets, jobs
from worker import models as contract
from worker.errors import InvalidInput, NotFound, StoreError
from worker.insights import LONGEST_TEXT
from worker.records import Model

PAGE_LENGTH = 25
LONGEST_CARD = 50_000
FIRST_CHARACTERS = {"letter": 20, "piece": 60, "word": 80}  # few: each token is many numbers
UNITS = {"char": "letter", "subword": "piece"}  # what people call a token of such models
LESSON = "what is capital of"


@pages.get("/models")
def model_list() -> str:
    """The owner's models, newest first."""
    page = contract.list_page(
        current_backend(), current_owner(), limit=PAGE_LENGTH, after=request.args.get("after")
    )
    return render_template("models.html", page=page)


@pages.get("/models/<reference>")
def model(reference: str) -> str:
    """One model: ask it, look at it, take it home."""
    return _render(contract.get(current_backend(), current_owner(), reference))


@pages.get("/models/<reference>/inside")
def inside_model(reference: str) -> str:
    """What the model computes, step by step, with a text of one's own."""
    record = contract.get(current_backend(), current_owner(), reference)
    return render_template(
        "model_inside.html",
        model=record,
        folder=_folder_record(record),
        text=request.args.get("text", "")[: LONGEST_TEXT["explain"]] or _first_text(record),
        predictors_online=current_backend().live.workers_online("predict"),
        state=_state(record),
    )


@pages.post("/models/<reference>/rename")
def rename_model(reference: str) -> Response | tuple[str, int]:
    """Give the model another name; what is wrong with it is said beside the box."""
    check_csrf()
    backend, owner, name = current_backend(), current_owner(), request.form.get("name", "")
    try:
        renamed = contract.rename(backend, owner, reference, name)
    except InvalidInput as error:
        record = contract.get(backend, owner, reference)
        return _render(record, typed_name=name, message=sentence(str(error))), 422
    return see_other(url_for("pages.model", reference=renamed.id))


@pages.post("/models/<reference>/delete")
def delete_model(reference: str) -> Response:
    """Remove the model."""
    check_csrf()
    contract.delete(current_backend(), current_owner(), reference)
    return see_other(url_for("pages.model_list"))


def _render(record: Model, typed_name: str | None = None, message: str = "") -> str:
    folder = _folder_record(record)
    return render_template(
        "model.html",
        model=record,
        folder=folder,
        card=_card(record),
        answers=_answers(folder),
        typed_name=record.name if typed_name is None else typed_name,
        message=message,
        help=FIELD_HELP,
        sampling=Sampling(),
        bytes=sum(file.bytes for file in record.files.values()),
        predictors_online=current_backend().live.workers_online("predict"),
        state=_state(record) | {"answers": _answers(folder)},
    )


def _state(record: Model) -> dict[str, Any]:
    """What the scripts of a model's pages must know."""
    tokenizer: dict[str, Any] = record.config.get("tokenizer", {})
    return {
        "id": record.id,
        "inside": url_for("pages.inside_model", reference=record.id),
        "unit": UNITS.get(tokenizer.get("level", ""), "word"),
        # What to put between two words when a click continues the text: tokens of other
        # tokenizers bring their own space.
        "joiner": " " if tokenizer.get("strip_punctuation") else "",
    }


def _answers(folder: ModelRecord | None) -> bool:
    """Whether the model learned questions with answers."""
    return folder is not None and folder.layout == "pairs"


def _first_text(record: Model) -> str:
    """What is explained before somebody gave a text: how the training's began.

    Empty when that is gone; then the model is asked to write something.
    """
    if record.config.get("preset") == "tutorial":
        return LESSON
    backend, owner = current_backend(), current_owner()
    try:
        dataset = record.job and jobs.get(backend, owner, record.job).dataset
        found = datasets.opening(backend, datasets.get(backend, owner, dataset)) if dataset else ""
    except (NotFound, StoreError):
        return ""
    unit = _state(record)["unit"]
    return shorten(found, FIRST_CHARACTERS[unit], placeholder="") or found[:20]


def _folder_record(record: Model) -> ModelRecord | None:
    """What the model's own folder says; None when it is damaged, which shows when it is asked."""
    try:
        return parse_model_record(contract.read_bytes(current_backend(), record, SETTINGS))
    except (StoreError, LSTMError):
        return None


def _card(record: Model) -> str:
    """The model card; empty when it cannot be read."""
    try:
        return contract.read_bytes(current_backend(), record, CARD)[:LONGEST_CARD].decode(
            errors="replace"
        )
    except (StoreError, NotFound):
        return ""
