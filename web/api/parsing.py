"""Reading requests: JSON bodies, query strings and headers, checked before anything is done.

A body that is no JSON is a 400, one of another kind a 415, values that are wrong are a 422 that
names each of them. Bodies nest only so deep, and numbers and strings that could not be stored or
sent back (infinite numbers, NUL, half a surrogate pair) are refused here for every route.
"""

import json
import math
import re
from collections import Counter
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Annotated, Any, NoReturn, TypeVar

from flask import request
from pydantic import BaseModel, ConfigDict, Field, ValidationError
from werkzeug.exceptions import BadRequest, RequestEntityTooLarge, UnsupportedMediaType

from lstmcore.errors import ConfigError, FieldError
from web.operation import about
from worker.errors import InvalidInput
from worker.records import Priority

DEEPEST = 16  # a config nests three levels; nothing sensible comes near
TOO_DEEP = f"it nests deeper than {DEEPEST} levels"
LONGEST_WAIT_SECONDS = 60
LONGEST_KEY = 200
WAIT = re.compile(r"""(?:^|,)\s*wait\s*=\s*"?(\d{1,9})"?\s*(?=[,;]|$)""", re.IGNORECASE)

Location = list[str | int]
M = TypeVar("M", bound=BaseModel)


class Body(BaseModel):
    """A JSON body: frozen, without unknown keys, and no number passes for a text or the reverse."""

    model_config = ConfigDict(frozen=True, extra="forbid", strict=True, protected_namespaces=())


class Query(BaseModel):
    """A query string or the fields of a form: as `Body`, but everything arrives as text."""

    model_config = ConfigDict(frozen=True, extra="forbid")


# Strict models take only members of an enumeration; JSON has only their values.
AskedPriority = Annotated[Priority, Field(strict=False)]


class PageQuery(Query):
    """A page of a list."""

    limit: int = about("At most so many.", 20, 20, ge=1, le=100)
    after: str | None = Field(None, description="The `next` of the page before.")


def read_json() -> Any:
    """The value of a JSON body. Raises 400, 413 or 415, and InvalidInput for unusable values."""
    if not request.is_json:
        raise UnsupportedMediaType("Send JSON, with `Content-Type: application/json`.")
    try:
        return parse_json(_whole_body().decode("utf-8-sig"))
    except ValueError as error:
        raise BadRequest(f"The body cannot be read as JSON: {error}.") from error


def parse_json(text: str) -> Any:
    """The value of a JSON text.

    Raises ValueError when it is none, says a key twice or nests too deeply, and InvalidInput when
    it holds values that could not be stored or sent back.
    """
    try:
        value = json.loads(text, parse_constant=_refuse_constant, object_pairs_hook=_unique_keys)
    except RecursionError as error:
        raise ValueError(TOO_DEEP) from error
    refused = list(_unusable(value))
    if refused:
        raise InvalidInput("Some values cannot be used.", refused)
    return value


def check(kind: type[M], value: Any) -> M:
    """`value` as a `kind`. Raises InvalidInput naming every field that is wrong."""
    try:
        return kind.model_validate(value)
    except ValidationError as error:
        refused: list[FieldError] = [
            {"loc": list(item["loc"]), "msg": item["msg"].removeprefix("Value error, ")}
            for item in error.errors(include_url=False, include_context=False, include_input=False)
        ]
        where = ", ".join(sorted({".".join(map(str, item["loc"])) or "body" for item in refused}))
        raise InvalidInput(f"Please correct: {where}.", refused) from error


def read_body(kind: type[M]) -> M:
    """The JSON body as a `kind`; see `read_json` and `check`."""
    return check(kind, read_json())


def read_query(kind: type[M]) -> M:
    """The query string as a `kind`; a parameter given twice is refused."""
    given = _single_values(request.args.lists()) if request.query_string else {}
    return check(kind, given)


def read_form(kind: type[M]) -> M:
    """The fields of a multipart body as a `kind`; empty ones count as not given."""
    fields = _single_values(request.form.lists())
    return check(kind, {name: value for name, value in fields.items() if value})


def preferred_wait() -> int | None:
    """Seconds of `Prefer: wait=N`, at most LONGEST_WAIT_SECONDS; None when not asked for."""
    found = WAIT.search(request.environ.get("HTTP_PREFER", ""))
    return min(int(found.group(1)), LONGEST_WAIT_SECONDS) if found else None


def idempotency_key() -> str | None:
    """The `Idempotency-Key` header. Raises InvalidInput when it is empty or too long."""
    key = request.headers.get("Idempotency-Key")
    if key is not None and not (0 < len(key) <= LONGEST_KEY and key.isprintable()):
        message = f"give 1 to {LONGEST_KEY} printable characters"
        raise InvalidInput(
            f"Idempotency-Key: {message}.", [{"loc": ["Idempotency-Key"], "msg": message}]
        )
    return key


def _whole_body() -> bytes:
    data = request.get_data(cache=False)
    if request.content_length is None and len(data) == request.max_content_length:
        # Of a body that does not say its length, Werkzeug gives just as much as is allowed.
        raise RequestEntityTooLarge
    return data


def _single_values(lists: Any) -> dict[str, str]:
    values: dict[str, str] = {}
    for name, given in lists:
        if len(given) > 1:
            raise InvalidInput(
                f"`{name or ''}` is given twice.", [{"loc": [name or ""], "msg": "give it once"}]
            )
        values[name] = given[0]
    refused = list(_unusable(values))
    if refused:
        raise InvalidInput("Some values cannot be used.", refused)
    return values


def _refuse_constant(name: str) -> NoReturn:
    raise ValueError(f"{name} is not a JSON number")


def _unique_keys(pairs: list[tuple[str, Any]]) -> dict[str, Any]:
    members = dict(pairs)
    if len(members) < len(pairs):
        twice = next(key for key, times in Counter(key for key, _ in pairs).items() if times > 1)
        raise ValueError(f"the key {twice!r} is given twice in one object")
    return members


def _unusable(value: Any) -> Iterator[FieldError]:
    """What no route can use, found without recursion. Raises ValueError when too deep."""
    waiting: list[tuple[Location, Any]] = [([], value)]
    while waiting:
        loc, item = waiting.pop()
        if len(loc) > DEEPEST:
            raise ValueError(TOO_DEEP)
        if isinstance(item, dict):
            for key, member in item.items():
                if not _storable(key):
                    yield {"loc": loc, "msg": "a key holds characters that cannot be stored"}
                else:
                    waiting.append(([*loc, key], member))
        elif isinstance(item, list):
            waiting.extend(([*loc, index], member) for index, member in enumerate(item))
        elif isinstance(item, str) and not _storable(item):
            yield {"loc": loc, "msg": "remove NUL characters and unpaired surrogates"}
        elif isinstance(item, float) and not math.isfinite(item):
            yield {"loc": loc, "msg": "the number is too large"}


def _storable(text: str) -> bool:
    if "\0" in text:
        return False
    try:
        text.encode()
    except UnicodeEncodeError:
        return False
    return True


@contextmanager
def inside(field: str) -> Iterator[None]:
    """Say of refused settings where they stand in the request: inside one of its fields."""
    try:
        yield
    except ConfigError as error:
        found: list[FieldError] = [
            {"loc": [field, *each["loc"]], "msg": each["msg"]} for each in error.errors
        ]
        raise ConfigError(str(error), found) from error
