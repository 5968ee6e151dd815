"""Every request has an id, which the answer, the audit log and our own log carry."""

import re
import secrets

from flask import Flask, Response, g, has_request_context, request

HEADER = "X-Request-Id"
# What a client or a proxy may call its request: short, and harmless in a log and in a header.
ACCEPTABLE = re.compile(r"[A-Za-z0-9][A-Za-z0-9._:=-]{0,63}")


def give_ids(app: Flask) -> None:
    """Take the request's own id where it is a sane one, else make one."""

    @app.before_request
    def begin() -> None:
        given = request.headers.get(HEADER, "")
        g.request_id = given if ACCEPTABLE.fullmatch(given) else f"req-{secrets.token_hex(10)}"

    @app.after_request
    def tell(response: Response) -> Response:
        response.headers[HEADER] = current_request_id()
        return response


def current_request_id() -> str:
    """The id of the request being answered; "" outside of one."""
    return g.get("request_id", "") if has_request_context() else ""
