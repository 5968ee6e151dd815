"""`/models` and `/models/{id or name}`: trained models, and a place to play with one."""

from typing import Any

from flask import render_template, request, url_for
from werkzeug.wrappers import Response

from lstmcore.config import FIELD_HELP, Sampling
from lstmcore.errors import LSTMError
from lstmcore.model_record import SETTINGS, ModelRecord, parse_model_record
from web.auth import current_backend, current_owner
from web.pages.blueprint import pages, see_other
from web.pages.wording import sentence
from web.security import check_csrf
from worker import models as contract
from worker.errors import InvalidInput, StoreError
from worker.records import Model

PAGE_LENGTH = 25


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
    tokenizer: dict[str, Any] = record.config.get("tokenizer", {})
    folder = _folder_record(record)
    answers = folder is not None and folder.layout == "pairs"
    return render_template(
        "model.html",
        model=record,
        folder=folder,
        answers=answers,
        typed_name=record.name if typed_name is None else typed_name,
        message=message,
        help=FIELD_HELP,
        sampling=Sampling(),
        bytes=sum(file.bytes for file in record.files.values()),
        predictors_online=current_backend().live.workers_online("predict"),
        state={
            "id": record.id,
            # What to put between two words when a click continues the text: tokens of other
            # tokenizers bring their own space.
            "joiner": " " if tokenizer.get("strip_punctuation") else "",
            "answers": answers,
        },
    )


def _folder_record(record: Model) -> ModelRecord | None:
    """What the model's own folder says; None when it is damaged, which shows when it is asked."""
    try:
        return parse_model_record(contract.read_bytes(current_backend(), record, SETTINGS))
    except (StoreError, LSTMError):
        return None
