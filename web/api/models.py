"""`/models`: trained models, by id or by name (a name may hold slashes)."""

from itertools import chain
from pathlib import Path, PureWindowsPath
from tempfile import TemporaryDirectory
from urllib.parse import quote

from flask import Blueprint, Response, request
from werkzeug.exceptions import UnsupportedMediaType
from werkzeug.http import dump_options_header

from web.api.datasets import ListQuery
from web.api.parsing import Body, Query, idempotency_key, read_body, read_form, read_query
from web.api.serialize import respond_json
from web.api.shapes import ROOT, ModelAnswer, PageAnswer, page_of
from web.archive import pack, unpack
from web.auth import current_backend, current_owner
from web.operation import Raw, about, describes
from worker import models as contract
from worker.errors import InvalidInput

models = Blueprint("models", __name__, url_prefix="/models")


class RenameBody(Body):
    """What can be changed about a model."""

    name: str = about("The new name.", "greetings")


class ImportFields(Query):
    """What may stand beside the zip file."""

    name: str = about("What to call it; else the file's name.", "greetings", "")


@models.get("")
@describes(answers={200: PageAnswer[ModelAnswer]}, query=ListQuery)
def list_all() -> Response:
    """The owner's models, newest first."""
    query = read_query(ListQuery)
    page = contract.list_page(
        current_backend(), current_owner(), limit=query.limit, after=query.after, name=query.name
    )
    return respond_json(page_of(page, ModelAnswer.of))


@models.post("")
@describes(
    answers={201: ModelAnswer}, form=ImportFields, file="The zip.", headers=("Idempotency-Key",)
)
def import_zip() -> Response:
    """Store a zip file such as `download` gives as a model."""
    if request.mimetype != "multipart/form-data":
        raise UnsupportedMediaType("Send the zip as multipart/form-data, in the field `file`.")
    fields = read_form(ImportFields)
    files = request.files.getlist("file")
    if len(files) != 1 or len(request.files) != 1:
        raise InvalidInput(
            "Send exactly one zip file, in the field `file`.",
            [{"loc": ["file"], "msg": "send exactly one"}],
        )
    name = fields.name or PureWindowsPath(files[0].filename or "").stem or "model"
    backend = current_backend()
    with TemporaryDirectory(prefix="lstmq-import-") as folder:
        unpack(files[0].stream, Path(folder), backend.settings.max_upload_bytes)
        model = contract.import_folder(
            backend, current_owner(), name, Path(folder), idempotency_key()
        )
    return respond_json(ModelAnswer.of(model), 201, {"Location": f"{ROOT}/models/{model.id}"})


@models.get("/<model:reference>")
@describes(answers={200: ModelAnswer})
def get(reference: str) -> Response:
    """One model."""
    model = contract.get(current_backend(), current_owner(), reference)
    return respond_json(ModelAnswer.of(model))


@models.patch("/<model:reference>")
@describes(answers={200: ModelAnswer}, body=RenameBody)
def rename(reference: str) -> Response:
    """Give a model another name."""
    name = read_body(RenameBody).name
    model = contract.rename(current_backend(), current_owner(), reference, name)
    return respond_json(ModelAnswer.of(model))


@models.delete("/<model:reference>")
@describes(answers={204: None}, refuses=(409,))
def delete(reference: str) -> Response:
    """Remove a model that no unfinished job needs."""
    contract.delete(current_backend(), current_owner(), reference)
    return Response(status=204)


@models.get("/<model:reference>/download")
@describes(answers={200: Raw("application/zip", "The model's folder.")})
def download(reference: str) -> Response:
    """The model's folder as a zip file, made while it is sent."""
    backend = current_backend()
    model = contract.get(backend, current_owner(), reference)
    pieces = pack(
        ((name, contract.open_file(backend, model, name)) for name in model.files), model.created_at
    )
    # The first piece is made here, so that a missing file is an error and not half an archive.
    response = Response(chain([next(pieces)], pieces), mimetype="application/zip")
    response.headers["Content-Disposition"] = _attachment(f"{model.name}.zip")
    response.headers["Cache-Control"] = "no-store"
    return response


def _attachment(filename: str) -> str:
    """Tell the browser to save it under this name, or one without what a file cannot be called."""
    safe = "".join("_" if char in '/\\:*?"<>|' else char for char in filename).lstrip(".")
    names = {"filename": safe.encode("ascii", "replace").decode().replace("?", "_")}
    if names["filename"] != safe:
        names["filename*"] = f"UTF-8''{quote(safe, safe='')}"
    return dump_options_header("attachment", names)
