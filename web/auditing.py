"""Notes in the audit log whatever a request changed, or was not allowed to change."""

from http import HTTPStatus

from flask import Flask, Response, current_app, g, request

from web.auth import SIGN_IN_ENDPOINTS, current_backend
from web.request_id import current_request_id
from web.roles import changes_something
from worker import audit
from worker.errors import Unavailable

DENIED = (HTTPStatus.UNAUTHORIZED, HTTPStatus.FORBIDDEN)


def keep_audit(app: Flask) -> None:
    """Note changes and refusals after they were answered; other mistakes changed nothing.

    What is accepted is noted in the transaction that accepts it (`worker.audit.add`).
    """

    @app.before_request
    def begin() -> None:
        g.deed = _deed() if changes_something(app) else None
        audit.begin(g.deed)

    @app.after_request
    def note(response: Response) -> Response:
        done = response.status_code < HTTPStatus.BAD_REQUEST and changes_something(app)
        denied = response.status_code in DENIED and _has_said_who()
        begun: audit.Deed | None = g.pop("deed", None)
        audit.begin(None)
        if (done or denied) and not (begun and begun.noted):
            _note(response)
        return response


def _deed() -> audit.Deed:
    caller = g.get("caller")
    return audit.Deed(
        owner=caller.owner if caller else "",
        key=caller.key if caller else "",
        action=request.endpoint or request.path,
        address=request.remote_addr or "",
        request=current_request_id(),
    )


def _note(response: Response) -> None:
    try:
        audit.note(
            current_backend(), _deed(), target=_target(response), status=response.status_code
        )
    except Unavailable:
        # The change was made and is answered; that nobody could write it down must be seen.
        current_app.logger.exception("%s is not in the audit log", current_request_id())


def _has_said_who() -> bool:
    """Whether somebody tried: those who show no key at all are only shown the way."""
    tried = request.authorization is not None or request.endpoint in SIGN_IN_ENDPOINTS
    return tried or g.get("caller") is not None


def _target(response: Response) -> str:
    """What it was done to: what the address names, else what was made."""
    named = request.view_args or {}
    if known := named.get("identifier") or named.get("reference"):
        return str(known)
    made = response.headers.get("Location", "").rpartition("/")[2]
    return made if response.status_code != HTTPStatus.SEE_OTHER or "-" in made else ""
