"""`/datasets`: texts to train on."""

from pathlib import PureWindowsPath
from typing import Any, Literal

from flask import Blueprint, Response, request
from pydantic import Field

from web.api.parsing import (
    Body,
    PageQuery,
    Query,
    check,
    inside,
    parse_json,
    read_body,
    read_form,
    read_query,
)
from web.api.serialize import ROOT, dataset_json, page_json, respond_json
from web.auth import current_backend, current_owner
from worker import datasets as contract
from worker.errors import InvalidInput
from worker.records import Dataset, Json

datasets = Blueprint("datasets", __name__, url_prefix="/datasets")

Layout = Literal["text", "lines", "pairs"]
LONGEST_FILENAME = 100


class DatasetBody(Body):
    """A text in JSON."""

    name: str = ""
    text: str
    layout: Layout | None = None


class UploadFields(Query):
    """What may stand beside the file of an upload."""

    name: str = ""
    encoding: str | None = Field(None, max_length=40)
    layout: Layout | None = None


class ListQuery(PageQuery):
    """A page of the records whose name contains something."""

    name: str | None = None


class PreviewQuery(Query):
    """What to preview: the level of the tokens, and a configuration (JSON) to estimate."""

    level: Literal["char", "word", "subword"] = "word"
    config: str = "{}"


@datasets.post("")
def create() -> Response:
    """Store a text given as a file or as JSON."""
    is_upload = request.mimetype == "multipart/form-data"
    dataset = _create_from_upload() if is_upload else _create_from_json()
    address = f"{ROOT}/datasets/{dataset.id}"
    return respond_json(dataset_json(dataset), 201, {"Location": address})


@datasets.get("")
def list_all() -> Response:
    """The owner's datasets, newest first."""
    query = read_query(ListQuery)
    page = contract.list_page(
        current_backend(), current_owner(), limit=query.limit, after=query.after, name=query.name
    )
    return respond_json(page_json(page, dataset_json))


@datasets.get("/<identifier>")
def get(identifier: str) -> Response:
    """One dataset."""
    return respond_json(dataset_json(contract.get(current_backend(), current_owner(), identifier)))


@datasets.delete("/<identifier>")
def delete(identifier: str) -> Response:
    """Remove a dataset that no unfinished job reads."""
    contract.delete(current_backend(), current_owner(), identifier)
    return Response(status=204)


@datasets.get("/<identifier>/preview")
def preview(identifier: str) -> Response:
    """The first lines as tokens, counts, and an estimate of a training."""
    query = read_query(PreviewQuery)
    backend, owner = current_backend(), current_owner()
    config = _config_of(query)
    seen = contract.preview(backend, owner, identifier, query.level)
    with inside("config"):
        estimate = contract.estimate(backend, owner, identifier, config)
    return respond_json(seen | {"estimate": estimate})


def create_from_text(name: str, text: str, layout: Layout | None = None) -> Dataset:
    """Store a text that came inside a JSON body for the request's owner."""
    return contract.create(
        current_backend(),
        current_owner(),
        name=name,
        data=text.encode(),
        encoding="utf-8",
        layout=layout,
    )


def _create_from_json() -> Dataset:
    body = read_body(DatasetBody)
    return create_from_text(body.name or "text", body.text, body.layout)


def _create_from_upload() -> Dataset:
    fields = read_form(UploadFields)
    files = request.files.getlist("file")
    if len(files) != 1 or len(request.files) != 1:
        raise InvalidInput(
            "Send exactly one file, in the field `file`.",
            [{"loc": ["file"], "msg": "send exactly one"}],
        )
    # The name decides how the file is read and what it is called; where it lay is nobody's concern.
    filename = PureWindowsPath(files[0].filename or "").name[-LONGEST_FILENAME:]
    return contract.create(
        current_backend(),
        current_owner(),
        name=fields.name or filename or "text",
        data=files[0].stream.read(),
        filename=filename or None,
        encoding=fields.encoding,
        layout=fields.layout,
    )


class _Config(Body):
    config: dict[str, Any]


def _config_of(query: PreviewQuery) -> Json:
    """The configuration to estimate; the level previewed, unless it says otherwise."""
    try:
        value = parse_json(query.config)
    except ValueError as error:
        raise InvalidInput(
            "`config` is not JSON.", [{"loc": ["config"], "msg": "give a JSON object"}]
        ) from error
    return check(_Config, {"config": value}).config
