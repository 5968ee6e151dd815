"""Lists and deletions as OpenAI's clients read them."""

from collections.abc import Sequence
from typing import Annotated, Any, Generic, Literal, TypeVar

from flask import Response, request
from pydantic import BaseModel, Field

from web.api.parsing import Query

MOST = 1000
T = TypeVar("T")


class Answer(BaseModel):
    """An object of OpenAI's API."""

    def respond(self) -> Response:
        """The object as the answer of a request."""
        response = Response(self.model_dump_json() + "\n", mimetype="application/json")
        response.headers["Cache-Control"] = "no-store"
        return response


class ListAnswer(Answer, Generic[T]):
    """A page. Old clients ask on until they get one without data."""

    object: Literal["list"] = "list"
    data: Sequence[T]
    has_more: bool = False
    first_id: str | None = None
    last_id: str | None = None


class Deleted(Answer):
    """What is left of a deleted object."""

    id: str
    object: str
    deleted: Literal[True] = True


class Cursor(Query):
    """Which page of a list."""

    limit: Annotated[int, Field(ge=1, le=MOST)] = 20
    after: str | None = None


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
