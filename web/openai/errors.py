"""Errors as OpenAI's clients read them: `{"error": {"message", "type", "param", "code"}}`.

The clients send a request again after 408, 409, 429 and every 5xx, so what cannot become right by
asking again is never one of those: a wrong state is a 400 here. They know no 422 and no 415 either.
"""

import json
from http import HTTPStatus
from typing import NoReturn

from flask import Response

from web.errors import Problem, Refused
from worker.records import Json

BAD_REQUEST = HTTPStatus.BAD_REQUEST
# Statuses of the native API that mean something else to these clients, or nothing.
SAID_AS_400 = {HTTPStatus.CONFLICT, HTTPStatus.UNPROCESSABLE_ENTITY, 415}
CODES = {
    400: "invalid_request",
    401: "invalid_api_key",
    403: "permission_denied",
    404: "not_found",
    405: "method_not_allowed",
    413: "request_too_large",
    421: "misdirected_request",
    429: "rate_limit_exceeded",
    500: "server_error",
    503: "unavailable",
}
MOST_SAID = 5  # of the refused values


def render_error(problem: Problem) -> Response:
    """The answer of an error under /v1."""
    headers = {**problem.headers, "Cache-Control": "no-store"}
    body = json.dumps(error_json(problem))
    return Response(body, status_of(problem), headers, mimetype="application/json")


def status_of(problem: Problem) -> int:
    """The status these clients are told."""
    return BAD_REQUEST if problem.status in SAID_AS_400 else problem.status


def error_json(problem: Problem) -> Json:
    """The error's members; also what ends a stream that fails on its way."""
    status = status_of(problem)
    slug = problem.type.removeprefix("urn:problem-type:lstmq:").replace("-", "_")
    code = CODES.get(status, "error") if ":" in slug or status >= 429 else slug  # noqa: PLR2004
    places = [".".join(map(str, error["loc"])) for error in problem.errors]
    return {
        "error": {
            "message": _message(problem, places),
            "type": _type(status),
            "param": next(filter(None, places), None),
            "code": problem.extra.get("code", code),
        }
    }


def refuse(param: str, message: str, *, code: str | None = None, status: int = 400) -> NoReturn:
    """Refuse the request because of one of its parameters."""
    raise Refused(
        Problem(
            status=status,
            title=HTTPStatus(status).phrase,
            detail=f"`{param}` {message}",
            errors=[{"loc": [param], "msg": message}],
            extra={"code": code} if code else {},
        )
    )


def _message(problem: Problem, places: list[str]) -> str:
    said = [
        f"{place or 'body'}: {error['msg']}"
        for place, error in zip(places, problem.errors, strict=True)
        if str(error["msg"]) not in problem.detail
    ]
    if not said:
        return problem.detail
    rest = f" (and {len(said) - MOST_SAID} more)" if len(said) > MOST_SAID else ""
    return f"{problem.detail} {'; '.join(said[:MOST_SAID])}{rest}"


def _type(status: int) -> str:
    if status == HTTPStatus.TOO_MANY_REQUESTS:
        return "rate_limit_error"
    return "server_error" if status >= HTTPStatus.INTERNAL_SERVER_ERROR else "invalid_request_error"
