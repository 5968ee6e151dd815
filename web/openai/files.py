"""`/files`: texts to train on, read and checked when they arrive, not when a job starts."""

from pathlib import PureWindowsPath
from typing import Literal

from flask import Blueprint, Response, request
from pydantic import Field

from web.api.parsing import Query, idempotency_key, read_form, read_query
from web.auth import current_backend, current_owner
from web.openai.attempts import this_attempt
from web.openai.errors import refuse
from web.openai.ids import dataset_id, file_id
from web.openai.lists import Deleted, ListAnswer, OpenaiAnswer, page_of
from web.operation import Raw, about, describes
from worker import datasets as contract
from worker.records import Dataset

files = Blueprint("files", __name__, url_prefix="/files")

PURPOSE = "fine-tune"
LONGEST_FILENAME = 100


class FileAnswer(OpenaiAnswer):
    """A stored text."""

    id: str = about("Its id.", "file-3f9c2b7a1e5d4c8b9a60")
    object: Literal["file"] = about("What this is.", "file", "file")
    bytes: int = about("Size of what is kept.", 59)
    created_at: int = about("When it was stored, in Unix seconds.", 1_900_000_000)
    filename: str = about("Its name.", "lesson.txt")
    purpose: Literal["fine-tune"] = about("What it is for.", "fine-tune", "fine-tune")
    status: Literal["processed"] = about("It was read when it came.", "processed", "processed")
    status_details: str | None = about("Nothing more is to say.", None, None)
    expires_at: int | None = about("Files stay until they are deleted.", None, None)


class UploadFields(Query):
    """What stands beside the file of an upload."""

    purpose: str = about("`fine-tune`: nothing else is done with files here.", "fine-tune", "")
    encoding: str | None = about(
        "Ours, through `extra_body`: how its bytes are read.", "utf-8", None, max_length=40
    )


class FilesQuery(Query):
    """Which files."""

    purpose: str | None = about("Only those for this.", "fine-tune", None)
    limit: int = about("At most so many.", 20, 10_000, ge=1, le=10_000)
    order: Literal["asc", "desc"] = about("Oldest or newest first.", "desc", "desc")
    after: str | None = Field(None, description="The `last_id` of the page before.")


@files.post("")
@describes(
    answers={200: FileAnswer}, form=UploadFields, file="The text.", headers=("Idempotency-Key",)
)
def create() -> Response:
    """Store a text: JSON Lines, or any other that `/api/v1/datasets` takes."""
    attempt = this_attempt()
    if request.mimetype != "multipart/form-data":
        refuse("file", "is missing: send it as multipart/form-data")
    if any(name.startswith("expires_after") for name in request.form):
        refuse("expires_after", "is not supported: files stay until you delete them")
    fields = read_form(UploadFields)
    if fields.purpose != PURPOSE:
        refuse("purpose", f"must be `{PURPOSE}`: nothing else is done with files here")
    uploaded = request.files.getlist("file")
    if len(uploaded) != 1 or len(request.files) != 1:
        refuse("file", "must be there exactly once")
    # The name decides how it is read; where it lay on the other machine is nobody's concern.
    name = PureWindowsPath(uploaded[0].filename or "").name[-LONGEST_FILENAME:]
    dataset = contract.create(
        current_backend(),
        current_owner(),
        name=name or "text",
        data=uploaded[0].stream,
        filename=name or None,
        encoding=fields.encoding,
        idempotency_key=idempotency_key(),
        attempt=attempt,
    )
    return _shape(dataset).respond()


@files.get("")
@describes(answers={200: ListAnswer[FileAnswer]}, query=FilesQuery)
def list_all() -> Response:
    """The owner's files, newest first unless `order=asc`."""
    query = read_query(FilesQuery)
    if query.purpose not in (None, PURPOSE):
        return page_of([]).respond()
    page = contract.list_page(
        current_backend(),
        current_owner(),
        limit=query.limit,
        after=dataset_id(query.after) if query.after else None,
        oldest_first=query.order == "asc",
    )
    return page_of([_shape(dataset) for dataset in page.data], has_more=page.has_more).respond()


@files.get("/<identifier>")
@describes(answers={200: FileAnswer})
def get(identifier: str) -> Response:
    """One file."""
    return _shape(_find(identifier)).respond()


@files.get("/<identifier>/content")
@describes(answers={200: Raw("application/octet-stream", "The text, in UTF-8.")})
def content(identifier: str) -> Response:
    """The text as it was read: UTF-8; prompts with completions as JSON Lines."""
    dataset = _find(identifier)
    pieces = current_backend().store.stream(dataset.file)
    response = Response(pieces, mimetype="application/octet-stream")
    response.content_length = dataset.file.bytes
    response.headers["Cache-Control"] = "no-store"
    return response


@files.delete("/<identifier>")
@describes(answers={200: Deleted}, refuses=(400,))
def delete(identifier: str) -> Response:
    """Remove a file that no unfinished job reads."""
    dataset = _find(identifier)
    contract.delete(current_backend(), current_owner(), dataset.id)
    return Deleted(id=file_id(dataset.id), object="file").respond()


def _find(identifier: str) -> Dataset:
    return contract.get(current_backend(), current_owner(), dataset_id(identifier))


def _shape(dataset: Dataset) -> FileAnswer:
    return FileAnswer(
        id=file_id(dataset.id),
        bytes=dataset.file.bytes,
        created_at=int(dataset.created_at),
        filename=dataset.name,
    )
