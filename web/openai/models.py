"""`/models`: what can be started from, and what was trained."""

from typing import Literal

from flask import Blueprint, Response

from web.auth import current_backend, current_owner
from web.openai.errors import refuse
from web.openai.ids import BASE_MODELS, model_name, model_reference
from web.openai.lists import Deleted, ListAnswer, OpenaiAnswer, page_of
from web.operation import about, describes
from worker import models as contract
from worker.errors import NotFound
from worker.records import Model

models = Blueprint("models", __name__, url_prefix="/models")

MOST = 10_000
RELEASED = 1_750_000_000  # when the base models came to be; clients want a time


class OpenaiModelAnswer(OpenaiAnswer):
    """A model, or one of the presets to start from."""

    id: str = about("What `model` takes.", "ft:lstm-word:local:lesson:5c8e1f3a7b9d2c4e6f80")
    object: Literal["model"] = about("What this is.", "model", "model")
    created: int = about("When it came to be, in Unix seconds.", 1_900_000_000)
    owned_by: str = about("Whose it is.", "local")
    name: str | None = about("Ours: what its owner called it, which finds it too.", "lesson", None)


@models.get("")
@describes(answers={200: ListAnswer[OpenaiModelAnswer]})
def list_all() -> Response:
    """The base models, then the owner's, newest first; these clients know no pages here."""
    found = contract.list_page(current_backend(), current_owner(), limit=MOST)
    shapes = [*map(_base, BASE_MODELS), *map(_shape, found.data)]
    return page_of(shapes, has_more=found.has_more).respond()


@models.get("/<path:reference>")
@describes(answers={200: OpenaiModelAnswer})
def get(reference: str) -> Response:
    """One model, by id or by name."""
    if reference in BASE_MODELS:
        return _base(reference).respond()
    return _shape(find(reference)).respond()


@models.delete("/<path:reference>")
@describes(answers={200: Deleted}, refuses=(400,))
def delete(reference: str) -> Response:
    """Remove a model that no unfinished job needs."""
    if reference in BASE_MODELS:
        refuse("model", "is a base model, which everybody starts from: it cannot be deleted")
    model = find(reference)
    contract.delete(current_backend(), current_owner(), model.id)
    return Deleted(id=model_name(model), object="model").respond()


def find(name: str) -> Model:
    """The owner's model of this name or id, or a training's best so far, or a refusal."""
    try:
        return contract.get_or_best(current_backend(), current_owner(), model_reference(name))
    except NotFound:
        message = f"`{name}` does not exist; `models.list()` says what there is"
        refuse("model", message, code="model_not_found", status=404)


def _shape(model: Model) -> OpenaiModelAnswer:
    return OpenaiModelAnswer(
        id=model_name(model),
        created=int(model.created_at),
        owned_by=model.owner,
        name=model.name,
    )


def _base(name: str) -> OpenaiModelAnswer:
    return OpenaiModelAnswer(id=name, created=RELEASED, owned_by="lstmq")
