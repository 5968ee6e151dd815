"""Every request has an id, which its answer, the audit log and every line of our log carry."""

import logging
import re
import secrets
import time

from flask import Flask, Response, g, has_request_context, request

from worker import logs

log = logging.getLogger(__name__)

HEADER = "X-Request-Id"
# What a client or a proxy may call its request: short, and harmless in a log and in a header.
ACCEPTABLE = re.compile(r"[A-Za-z0-9][A-Za-z0-9._:=-]{0,63}")


def give_ids(app: Flask) -> None:
    """Take the request's own id where it is a sane one, else make one."""

    @app.before_request
    def begin() -> None:
        given = request.environ.get("HTTP_X_REQUEST_ID", "")
        g.request_id = given if ACCEPTABLE.fullmatch(given) else f"req-{secrets.token_hex(10)}"
        g.began = time.perf_counter()
        logs.begin(request=g.request_id)

    @app.after_request
    def tell(response: Response) -> Response:
        response.headers[HEADER] = g.request_id
        if log.isEnabledFor(logging.INFO):
            seconds = round(seconds_so_far(), 6)
            # The path only: a query may hold what nobody should find in a log.
            line = (request.method, request.path, response.status_code)
            log.info("%s %s %d", *line, extra={"seconds": seconds})
        return response


def current_request_id() -> str:
    """The id of the request being answered; "" outside of one."""
    return g.get("request_id", "") if has_request_context() else ""


def seconds_so_far() -> float:
    """How long the request has been worked on."""
    return time.perf_counter() - float(g.began)
