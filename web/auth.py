"""Who asks: the caller of a request, what they may do, and the backend their records are in.

Once there is a key (`lstmq keys`, LSTMQ_API_KEYS) every request carries one: programs as
`Authorization: Bearer KEY` (or HTTP Basic, user: the owner, password: the key), browsers a session
that began on the sign-in page. Without keys the service listens on loopback only and everything
belongs to the owner "local".
"""

from typing import Protocol
from urllib.parse import urlsplit

from flask import Flask, current_app, g, request, session, url_for
from werkzeug.datastructures import Authorization, WWWAuthenticate
from werkzeug.exceptions import Forbidden, Unauthorized
from werkzeug.utils import redirect
from werkzeug.wrappers import Response

from web.identity import LOCAL, Caller, Identity
from web.roles import SAFE_METHODS, allows, needed_role
from worker.backend import Backend

# Answered without a key: health checks of machines, and style sheets that hold nothing of anybody.
OPEN_ENDPOINTS = frozenset({"health.alive", "health.ready", "static"})
SIGN_IN_ENDPOINTS = frozenset({"pages.sign_in", "pages.begin_session"})
# Where programs ask; everywhere else a person looks at a page.
PROGRAM_PATHS = ("/api/", "/v1/", "/metrics")
SESSION = "signed_in"  # what holds the session's token in the signed cookie
REFUSALS = {
    "member": "Your key may look and ask models, and change nothing",
    "admin": "This is for admins",
}


def require_caller(app: Flask, backend: Backend) -> None:
    """Let only known callers reach anything but the endpoints that are open, and only theirs."""
    identity = Identity(backend)
    app.extensions["lstmq.identity"] = identity

    @app.before_request
    def authenticate() -> Response | None:
        if request.endpoint in OPEN_ENDPOINTS:
            return None
        if not identity.needs_key():
            g.caller = LOCAL
            return None
        try:
            g.caller = _caller(identity)
        except Unauthorized:
            if request.endpoint in SIGN_IN_ENDPOINTS:
                return None
            if is_program() or request.method not in SAFE_METHODS:
                raise
            return redirect(url_for("pages.sign_in", next=request.full_path.rstrip("?")), 303)
        needed = needed_role(app, request.endpoint, request.method)
        if not allows(g.caller.role, needed):
            raise Forbidden(
                f"{REFUSALS[needed]}: ask whoever runs this for a key of the role {needed}."
            )
        return None

    @app.context_processor
    def person() -> dict[str, str | None]:
        return {"signed_in": g.caller.owner if g.get("caller") and g.caller.key else None}


class Throttle(Protocol):
    """Slows down whoever guesses keys."""

    def check(self) -> None:
        """Raise QuotaExceeded when this request's address has guessed too often."""

    def note(self) -> None:
        """Count a wrong key."""


def throttle_failures(app: Flask, throttle: Throttle) -> None:
    """Ask `throttle` before a key is looked at."""
    app.extensions["lstmq.throttle"] = throttle


def current_caller() -> Caller:
    """Whom this request was authenticated as."""
    caller: Caller = g.caller
    return caller


def current_owner() -> str:
    """The owner whose records this request is about."""
    return current_caller().owner


def current_backend() -> Backend:
    """The backend of the running app."""
    backend: Backend = current_app.extensions["lstmq"]
    return backend


def current_identity() -> Identity:
    """The running app's knowledge of keys."""
    identity: Identity = current_app.extensions["lstmq.identity"]
    return identity


def is_program() -> bool:
    """Whether the request is for an interface of programs, not for a page."""
    return request.path.startswith(PROGRAM_PATHS)


def own_address(given: str | None) -> str:
    """Where to go after signing in: an address of this service, else the start page."""
    home = url_for("pages.start")
    if not given or not given.startswith("/") or not given.isprintable() or "\\" in given:
        return home
    try:
        parts = urlsplit(given)
    except ValueError:
        return home
    return home if parts.scheme or parts.netloc or given.startswith("//") else given


def _caller(identity: Identity) -> Caller:
    """Raises Unauthorized, with the way to do it right."""
    given = request.authorization
    if given is not None:
        return _caller_of_authorization(given)
    token = session.get(SESSION)
    if not token:
        raise _unauthorized("This needs a key.")
    caller = identity.of_session(token)
    if caller is None:
        raise _unauthorized("Your session has ended: sign in again.")
    if is_program() and request.method not in SAFE_METHODS:
        _check_own_page()
    return caller


def caller_of_key(key: str) -> Caller | None:
    """The caller whose key this is. Raises QuotaExceeded after many wrong ones from one address."""
    identity = current_identity()
    throttle: Throttle = current_app.extensions["lstmq.throttle"]
    # A key that was right before is looked at anyhow: nobody can lock others out.
    if not identity.is_known(key):
        throttle.check()
    caller = identity.of_key(key)
    if caller is None:
        throttle.note()
    return caller


def _caller_of_authorization(given: Authorization) -> Caller:
    if given.type == "bearer" and given.token:
        # WSGI gives a header's bytes as Latin-1; keys are UTF-8, as Basic credentials are.
        key = given.token.encode("latin-1", "replace").decode("utf-8", "replace")
    elif given.type == "basic" and given.password:
        key = given.password
    else:
        raise _unauthorized("This key is not known.")
    caller = caller_of_key(key)
    if caller is None or (given.type == "basic" and given.username != caller.owner):
        raise _unauthorized("This key is not known.")
    return caller


def _check_own_page() -> None:
    """A browser adds its cookie by itself: with one, a change must say that our page asked for it.

    That it was another site's page is refused in `security` already.
    """
    if not (request.headers.get("Sec-Fetch-Site") or request.headers.get("Origin")):
        raise Forbidden("With a session, changes are made from the pages; programs send a key.")


def _unauthorized(reason: str) -> Unauthorized:
    # Only Bearer is announced: a browser must not open a password window over a page.
    return Unauthorized(
        f"{reason} Send it as `Authorization: Bearer KEY`." if "key" in reason else reason,
        www_authenticate=WWWAuthenticate("bearer", {"realm": "lstmq"}),
    )
