"""Who asks: the owner of a request, and the backend its records are in.

With `LSTMQ_API_KEYS` a request carries a key: programs as `Authorization: Bearer KEY`, browsers as
HTTP Basic (user: the owner, password: the key). Without keys the service listens on loopback only
and everything belongs to the owner "local".
"""

import hashlib
import hmac
from collections.abc import Mapping

from flask import Flask, current_app, g, request
from werkzeug.datastructures import WWWAuthenticate
from werkzeug.exceptions import Unauthorized

from worker.backend import Backend
from worker.settings import Settings

LOCAL_OWNER = "local"
# Answered without a key: health checks of machines, and style sheets that hold nothing of anybody.
OPEN_ENDPOINTS = frozenset({"health.alive", "health.ready", "static"})


def require_owner(app: Flask, settings: Settings) -> None:
    """Let only requests of a known owner reach anything but OPEN_ENDPOINTS."""

    @app.before_request
    def authenticate() -> None:
        if request.endpoint in OPEN_ENDPOINTS:
            return
        g.owner = owner_of_request(settings.api_keys) if settings.api_keys else LOCAL_OWNER


def current_owner() -> str:
    """The owner whom this request was authenticated as."""
    owner: str = g.owner
    return owner


def current_backend() -> Backend:
    """The backend of the running app."""
    backend: Backend = current_app.extensions["lstmq"]
    return backend


def owner_of_request(api_keys: Mapping[str, str]) -> str:
    """The owner whose key the request carries. Raises Unauthorized, with the way to do it right."""
    given = request.authorization
    if given is None:
        raise _unauthorized("This needs a key.")
    if given.type == "bearer" and given.token:
        # WSGI gives a header's bytes as Latin-1; keys are UTF-8, as Basic credentials are.
        key = given.token.encode("latin-1", "replace").decode("utf-8", "replace")
        owner = _owner_of_key(key, api_keys)
    elif given.type == "basic" and given.password:
        owner = _owner_of_key(given.password, api_keys)
        if given.username != owner:
            owner = None
    else:
        owner = None
    if owner is None:
        raise _unauthorized("This key is not known.")
    return owner


def _owner_of_key(given: str, api_keys: Mapping[str, str]) -> str | None:
    # Digests have one length and every key is compared, so the time taken tells nothing.
    digest = _digest(given)
    found = None
    for owner, key in api_keys.items():
        if hmac.compare_digest(digest, _digest(key)):
            found = owner
    return found


def _digest(key: str) -> bytes:
    return hashlib.sha256(key.encode("utf-8", "replace")).digest()


def _unauthorized(reason: str) -> Unauthorized:
    if request.path.startswith("/api/"):
        # Only Bearer is announced here: a browser must not open a password window over a page.
        return Unauthorized(
            f"{reason} Send it as `Authorization: Bearer KEY`.",
            www_authenticate=WWWAuthenticate("bearer", {"realm": "lstmq"}),
        )
    return Unauthorized(
        f"{reason} Sign in with your owner name as the user and your key as the password.",
        www_authenticate=WWWAuthenticate("basic", {"realm": "lstmq", "charset": "UTF-8"}),
    )
