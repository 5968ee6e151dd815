"""Errors become answers here and nowhere else.

An error is described once, as a `Problem`, and said as the clients of its surface read it: under
/api (and at the health routes) as `application/problem+json` (RFC 9457), under /v1 as OpenAI's
clients do, elsewhere as a page. What is wrong with the request is said in full; what is wrong with
us goes to the log, and the client learns only that.
"""

import json
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from http import HTTPStatus
from typing import Any

from flask import Flask, Response, current_app, render_template, request
from werkzeug.exceptions import HTTPException

from lstmcore.errors import ConfigError, CorpusError, LSTMError
from web.request_id import current_request_id
from worker.errors import (
    InvalidInput,
    NotFound,
    QuotaExceeded,
    StoreError,
    Unavailable,
    WorkerError,
    WrongState,
)

INTERNAL = "Something went wrong here, not with your request. It was written to the log."
DAMAGED = "A stored file is missing or damaged, or cannot be written. It was written to the log."

# The first class that fits decides: status, the last part of the type, title.
KINDS: Sequence[tuple[type[Exception], int, str, str]] = (
    (NotFound, 404, "not-found", "Not found"),
    (InvalidInput, 422, "invalid-input", "Invalid input"),
    (WrongState, 409, "wrong-state", "Not possible in this state"),
    (QuotaExceeded, 429, "quota-exceeded", "Limit reached"),
    (Unavailable, 503, "unavailable", "Not available now"),
    (ConfigError, 422, "invalid-input", "Invalid input"),
    (CorpusError, 422, "invalid-text", "Unusable text"),
    (LSTMError, 422, "invalid-input", "Invalid input"),
)
# Sentences for what Flask itself refuses, where its own words do not say what to do.
SENTENCES = {
    404: "There is nothing at this address.",
    405: "This address does not allow that method; the header Allow lists those it does.",
}


@dataclass(frozen=True)
class Problem:
    """An error as clients see it."""

    status: int
    title: str
    detail: str
    type: str = "about:blank"
    errors: Sequence[Mapping[str, Any]] = ()  # refused values: {"loc": […], "msg": "…"}
    extra: Mapping[str, Any] = field(default_factory=dict)
    headers: Mapping[str, str] = field(default_factory=dict)

    def to_json(self) -> dict[str, Any]:
        """The members of RFC 9457, `errors` for refused values, and what belongs to the type."""
        members = {
            "type": self.type,
            "title": self.title,
            "status": self.status,
            "detail": self.detail,
        }
        return members | ({"errors": list(self.errors)} if self.errors else {}) | dict(self.extra)


class Refused(Exception):
    """A request that a view refuses with a problem of its own making."""

    def __init__(self, problem: Problem) -> None:
        super().__init__(problem.detail)
        self.problem = problem


# How a problem is said to the clients of a surface.
Renderer = Callable[[Problem], Response]


def handle_errors(app: Flask, surfaces: Mapping[str, Renderer]) -> None:
    """Answer every exception a view or Flask raises with its problem.

    `surfaces`: how it is said under each path; under all others it is a page.
    """
    renderers = {"": render_page, **surfaces}

    @app.errorhandler(Exception)
    def answer(error: Exception) -> Response:
        problem = describe(error)
        if problem.status >= HTTPStatus.INTERNAL_SERVER_ERROR and not isinstance(
            error, Unavailable | HTTPException
        ):
            current_app.logger.error(
                "%s %s %r failed",
                current_request_id(),
                request.method,
                request.path,
                exc_info=error,
            )
        surface = max((path for path in renderers if _is_under(path)), key=len)
        return renderers[surface](problem)


def describe(error: Exception) -> Problem:
    """What to tell the client about `error`; total, and silent about our own faults."""
    if isinstance(error, Refused):
        return error.problem
    if isinstance(error, HTTPException):
        return _describe_http(error)
    for kind, status, slug, title in KINDS:
        if isinstance(error, kind):
            return Problem(
                status=status,
                title=title,
                detail=str(error),
                type=f"urn:problem-type:lstmq:{slug}",
                errors=tuple(error.errors) if isinstance(error, InvalidInput | ConfigError) else (),
                extra=_members(error),
                headers=_headers(error),
            )
    detail = DAMAGED if isinstance(error, StoreError) else INTERNAL
    return Problem(status=500, title="Internal server error", detail=detail)


def render_problem(problem: Problem) -> Response:
    """The problem as RFC 9457 has it."""
    headers = {**problem.headers, "Cache-Control": "no-store"}
    body = json.dumps(problem.to_json())
    return Response(body, problem.status, headers, mimetype="application/problem+json")


def render_page(problem: Problem) -> Response:
    """The problem as a page for people."""
    page = render_template("error.html", problem=problem)
    return Response(page, problem.status, dict(problem.headers), mimetype="text/html")


def _is_under(path: str) -> bool:
    return not path or request.path == path or request.path.startswith(f"{path}/")


def _describe_http(error: HTTPException) -> Problem:
    status = error.code or 500
    detail = error.description or ""
    if detail == type(error).description:
        detail = SENTENCES.get(status, detail)
    if status == HTTPStatus.REQUEST_ENTITY_TOO_LARGE:
        limit = request.max_content_length
        detail = f"The body may have at most {limit:,} bytes." if limit else "It is too large."
    if status == HTTPStatus.INTERNAL_SERVER_ERROR:
        detail = INTERNAL
    kept = {"Allow", "WWW-Authenticate", "Retry-After"}
    headers = dict(error.get_response().headers)
    return Problem(
        status=status,
        title=HTTPStatus(status).phrase,
        detail=detail,
        headers={name: value for name, value in headers.items() if name in kept},
    )


def _members(error: Exception) -> dict[str, Any]:
    if isinstance(error, WrongState):
        return {"state": error.state}
    if isinstance(error, CorpusError) and error.line is not None:
        return {"line": error.line}
    return {}


def _headers(error: WorkerError | Exception) -> dict[str, str]:
    if isinstance(error, QuotaExceeded | Unavailable):
        return {"Retry-After": str(error.retry_after_seconds)}
    return {}
