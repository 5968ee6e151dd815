"""`/datasets`: texts to train on."""

from pathlib import PureWindowsPath
from typing import Any

from flask import Blueprint, Response, request
from pydantic import BaseModel, ConfigDict, Field

from lstmcore.config import Level
from web.api.parsing import (
    Body,
    PageQuery,
    Query,
    check,
    idempotency_key,
    inside,
    parse_json,
    read_body,
    read_form,
    read_query,
)
from web.api.serialize import respond_json
from web.api.shapes import ROOT, DatasetAnswer, Layout, PageAnswer, page_of
from web.auth import current_backend, current_owner
from web.operation import Answer, about, describes
from web.places import place
from worker import datasets as contract
from worker.errors import InvalidInput
from worker.records import Dataset, Json

datasets = Blueprint("datasets", __name__, url_prefix="/datasets")

LONGEST_FILENAME = 100


class DatasetBody(Body):
    """A text in JSON."""

    name: str = about("What to call it.", "lesson", "")
    text: str = about("The text itself.", "what is your name : Jay\nwhat is your age : five\n")
    layout: Layout | None = about("How to read it; else what it looks like.", "lines", None)


class UploadFields(Query):
    """What may stand beside the file of an upload."""

    name: str = about("What to call it; else the file's name.", "lesson", "")
    encoding: str | None = about(
        "How its bytes are read; else what they look like.", "utf-8", None, max_length=40
    )
    layout: Layout | None = about("How to read it; else what it looks like.", "lines", None)


class ListQuery(PageQuery):
    """A page of the records whose name contains something."""

    name: str | None = about("Only those whose name contains this.", "les", None)


class PreviewQuery(Query):
    """What to preview: the level of the tokens, and a configuration (JSON) to estimate."""

    level: Level = about("What a token is.", "word", "word")
    config: str = about("Settings to estimate, as JSON.", '{"preset": "word"}', "{}")


class PreviewLine(Answer):
    """A line as a model sees it."""

    text: str = about("The line.", "what is your name")
    tokens: list[str] = about("Its tokens.", [" what", " is", " your", " name"])
    ids: list[int] = about("Their numbers.", [9, 5, 10, 6])


class Frequent(Answer):
    """A token that is there often."""

    token: str = about("The token.", " what")
    count: int = about("How often.", 2)


class EstimateAnswer(BaseModel):
    """What a training would take here."""

    model_config = ConfigDict(extra="allow")

    parameters: int = about("Numbers that are learned.", 2994)
    memory_bytes: int = about("Memory it needs.", 262211296)
    steps: int = about("Steps it takes.", 300)
    seconds: float = about("Seconds, going by earlier trainings here.", 0.6)


class PreviewAnswer(BaseModel):
    """What a model would see of a text."""

    model_config = ConfigDict(extra="allow")

    lines: list[PreviewLine] = Field(description="The first lines.")
    tokens: int = about("Tokens in the whole text.", 14)
    vocabulary: int = about("Different tokens a model would know.", 14)
    rare_share: float = about("Share of them that are there only once.", 0.72)
    unknown_share: float = about("Share of the tokens that the vocabulary lacks.", 0.0)
    frequent: list[Frequent] = Field(description="The most frequent.")
    duplicates: int = about("Lines that are there more than once.", 0)
    estimate: EstimateAnswer = Field(description="What a training would take here.")


@datasets.post("")
@describes(
    answers={201: DatasetAnswer},
    body=DatasetBody,
    form=UploadFields,
    file="The text: plain, CSV, TSV, JSON Lines or `prompt : completion` lines.",
    headers=("Idempotency-Key",),
)
def create() -> Response:
    """Store a text given as a file or as JSON."""
    is_upload = request.mimetype == "multipart/form-data"
    key = idempotency_key()
    dataset = _create_from_upload(key) if is_upload else _create_from_json(key)
    address = f"{ROOT}/datasets/{dataset.id}"
    return respond_json(DatasetAnswer.of(dataset), 201, {"Location": address})


@datasets.get("")
@describes(answers={200: PageAnswer[DatasetAnswer]}, query=ListQuery)
def list_all() -> Response:
    """The owner's datasets, newest first."""
    query = read_query(ListQuery)
    page = contract.list_page(
        current_backend(), current_owner(), limit=query.limit, after=query.after, name=query.name
    )
    return respond_json(page_of(page, DatasetAnswer.of))


@datasets.get("/<identifier>")
@describes(answers={200: DatasetAnswer})
def get(identifier: str) -> Response:
    """One dataset."""
    dataset = contract.get(current_backend(), current_owner(), identifier)
    return respond_json(DatasetAnswer.of(dataset))


@datasets.delete("/<identifier>")
@describes(answers={204: None}, refuses=(409,))
def delete(identifier: str) -> Response:
    """Remove a dataset that no unfinished job reads."""
    contract.delete(current_backend(), current_owner(), identifier)
    return Response(status=204)


@datasets.get("/<identifier>/preview")
@describes(answers={200: PreviewAnswer}, query=PreviewQuery)
def preview(identifier: str) -> Response:
    """The first lines as tokens, counts, and an estimate of a training."""
    query = read_query(PreviewQuery)
    backend, owner = current_backend(), current_owner()
    config = _config_of(query)
    with place("body"):  # the whole text is in memory meanwhile
        seen = contract.preview(backend, owner, identifier, query.level)
    with inside("config"):
        estimate = contract.estimate(backend, owner, identifier, config)
    return respond_json(seen | {"estimate": estimate})


def create_from_text(
    name: str,
    text: str,
    layout: Layout | None = None,
    *,
    came_with_job: bool = False,
    key: str | None = None,
) -> Dataset:
    """Store a text that came inside a JSON body for the request's owner."""
    return contract.create(
        current_backend(),
        current_owner(),
        name=name,
        data=text.encode(),
        encoding="utf-8",
        layout=layout,
        came_with_job=came_with_job,
        idempotency_key=key,
    )


def _create_from_json(key: str | None) -> Dataset:
    body = read_body(DatasetBody)
    return create_from_text(body.name or "text", body.text, body.layout, key=key)


def _create_from_upload(key: str | None) -> Dataset:
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
        data=files[0].stream,
        filename=filename or None,
        encoding=fields.encoding,
        layout=fields.layout,
        idempotency_key=key,
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
