"""`/models`: trained models, by id or by name (a name may hold slashes)."""

from itertools import chain
from pathlib import Path, PureWindowsPath
from tempfile import TemporaryDirectory
from urllib.parse import quote

from flask import Blueprint, Response, request
from werkzeug.exceptions import UnsupportedMediaType
from werkzeug.http import dump_options_header

from web.api.datasets import ListQuery
from web.api.parsing import Body, Query, read_body, read_form, read_query
from web.api.serialize import ROOT, model_json, page_json, respond_json
from web.archive import pack, unpack
from web.auth import current_backend, current_owner
from worker import models as contract
from worker.errors import InvalidInput

models = Blueprint("models", __name__, url_prefix="/models")


class RenameBody(Body):
    """What can be changed about a model."""

    name: str


class ImportFields(Query):
    """What may stand beside the zip file."""

    name: str = ""


@models.get("")
def list_all() -> Response:
    """The owner's models, newest first."""
    query = read_query(ListQuery)
    page = contract.list_page(
        current_backend(), current_owner(), limit=query.limit, after=query.after, name=query.name
    )
    return respond_json(page_json(page, model_json))


@models.post("")
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
        model = contract.import_folder(backend, current_owner(), name, Path(folder))
    return respond_json(model_json(model), 201, {"Location": f"{ROOT}/models/{model.id}"})


@models.get("/<path:reference>")
def get(reference: str) -> Response:
    """One model."""
    return respond_json(model_json(contract.get(current_backend(), current_owner(), reference)))


@models.patch("/<path:reference>")
def rename(reference: str) -> Response:
    """Give a model another name."""
    name = read_body(RenameBody).name
    model = contract.rename(current_backend(), current_owner(), reference, name)
    return respond_json(model_json(model))


@models.delete("/<path:reference>")
def delete(reference: str) -> Response:
    """Remove a model that no unfinished job needs."""
    contract.delete(current_backend(), current_owner(), reference)
    return Response(status=204)


@models.get("/<path:reference>/download")
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
