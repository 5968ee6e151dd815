"""Lists and deletions as OpenAI's clients read them."""

from collections.abc import Sequence
from typing import Any, Generic, Literal, TypeVar

from flask import Response, request
from pydantic import BaseModel, ConfigDict, Field

from web.api.parsing import Query
from web.operation import about

MOST = 1000
T = TypeVar("T")


class OpenaiAnswer(BaseModel):
    """An object of OpenAI's API."""

    def respond(self) -> Response:
        """The object as the answer of a request."""
        response = Response(self.model_dump_json() + "\n", mimetype="application/json")
        response.headers["Cache-Control"] = "no-store"
        return response


class ListAnswer(OpenaiAnswer, Generic[T]):
    """A page. Old clients ask on until they get one without data."""

    model_config = ConfigDict(json_schema_extra={"description": "A page of a list."})

    object: Literal["list"] = about("What this is.", "list", "list")
    data: Sequence[T] = Field(description="The objects.")
    has_more: bool = about("Whether there are more after these.", False, False)
    first_id: str | None = about("The id of the first of them.", None, None)
    last_id: str | None = about("The id of the last: `after` for the next page.", None, None)


class Deleted(OpenaiAnswer):
    """What is left of a deleted object."""

    id: str = about("Its id.", "file-3f9c2b7a1e5d4c8b9a60")
    object: str = about("What it was.", "file")
    deleted: Literal[True] = about("It is gone.", True, True)


class Cursor(Query):
    """Which page of a list."""

    limit: int = about("At most so many.", 20, 20, ge=1, le=MOST)
    after: str | None = Field(None, description="The `last_id` of the page before.")


def page_of(data: Sequence[Any], *, has_more: bool = False) -> ListAnswer[Any]:
    """The answer that holds these objects."""
    first, last = (data[0].id, data[-1].id) if data else (None, None)
    return ListAnswer[Any](data=data, has_more=has_more, first_id=first, last_id=last)


def metadata_filter() -> dict[str, str]:
    """The pairs of `?metadata[key]=value`."""
    return {
        name.removeprefix("metadata[").removesuffix("]"): value
        for name, value in request.args.items()
        if name.startswith("metadata[") and name.endswith("]")
    }
