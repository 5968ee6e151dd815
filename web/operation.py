"""What a route takes and answers, said beside its view.

`web.openapi` makes the document of it, the tests check that no route goes without, and that each
answers what is said here.
"""

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from typing import Any, TypeVar

from pydantic import BaseModel, ConfigDict, Field

V = TypeVar("V", bound=Callable[..., object])


class Answer(BaseModel):
    """A JSON object that is answered: nothing in it that is not described."""

    model_config = ConfigDict(extra="forbid", protected_namespaces=())


@dataclass(frozen=True)
class Raw:
    """An answer that is no JSON."""

    media_type: str
    description: str
    example: str = ""


# One answer of a route: nothing, or what its body may be, the usual one first.
Contents = type[BaseModel] | Raw | tuple["type[BaseModel] | Raw", ...] | None


@dataclass(frozen=True)
class Operation:
    """A route's side of the contract. What any route may answer is not repeated here."""

    answers: Mapping[int, Contents]
    query: type[BaseModel] | None = None
    body: Any = None  # a model, or a union of them
    body_required: bool = True
    form: type[BaseModel] | None = None  # fields of a multipart body
    file: str = ""  # what the multipart field `file` is
    headers: tuple[str, ...] = ()  # names of `web.openapi.parameters.HEADERS`
    refuses: tuple[int, ...] = ()  # statuses of errors that are this route's own
    examples: Mapping[str, Any] = field(default_factory=dict)  # bodies by what they show


def describes(**parts: Any) -> Callable[[V], V]:
    """Say of a view what its `Operation` is; its docstring is what people read."""
    operation = Operation(**parts)

    def mark(view: V) -> V:
        view.__dict__["operation"] = operation
        return view

    return mark


def about(description: str, example: Any, default: Any = ..., **limits: Any) -> Any:
    """A field with its description and an example; required unless it has a default."""
    return Field(default, description=description, examples=[example], **limits)
