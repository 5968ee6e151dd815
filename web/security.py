"""What protects the service in a browser and from large bodies.

Reads may come from anywhere the browser lets them; a write must come from a page of this service
(`Sec-Fetch-Site`, else `Origin`), a form must carry the token of its own session, and without keys
the service answers only to loopback names, so that a foreign name that resolves to 127.0.0.1 (DNS
rebinding) finds nothing here.
"""

import hmac
import ipaddress
import os
import secrets
from contextlib import suppress
from functools import lru_cache
from pathlib import Path
from urllib.parse import urlsplit

from flask import Flask, Request, Response, request, session
from flask.sessions import SecureCookieSession, SecureCookieSessionInterface, SessionMixin
from werkzeug.exceptions import Forbidden, HTTPException, NotFound

from web.auth import OPEN_ENDPOINTS, current_identity
from web.roles import SAFE_METHODS
from worker.settings import Settings

HEADERS = {
    "Content-Security-Policy": (
        "default-src 'none'; script-src 'self'; style-src 'self'; connect-src 'self'; "
        "img-src 'self' data:; font-src 'self'; form-action 'self'; frame-ancestors 'none'; "
        "base-uri 'none'"
    ),
    "X-Content-Type-Options": "nosniff",
    "X-Frame-Options": "DENY",
    # Not `no-referrer`: with it browsers send `Origin: null` with our own forms.
    "Referrer-Policy": "same-origin",
    "Cross-Origin-Opener-Policy": "same-origin",
    "Cross-Origin-Resource-Policy": "same-origin",
    "Cache-Control": "private, no-cache",
}
MULTIPART_SLACK_BYTES = 64 * 1024  # the other fields and boundaries of an upload at the limit
# As WSGI calls the headers that proxies add.
PROXY_HEADERS = frozenset(
    {"HTTP_X_FORWARDED_FOR", "HTTP_X_FORWARDED_HOST", "HTTP_FORWARDED", "HTTP_VIA"}
)
CSRF_FIELD = "csrf_token"
CSRF_HEADER = "X-CSRF-Token"
_SECRET_FILE = "secret_key"  # noqa: S105 - a file's name


class Misdirected(HTTPException):
    """The request names a host that this installation does not answer to."""

    code = 421
    description = (
        "Without keys this service answers only to 127.0.0.1 and localhost. Open it under one of "
        "those names, or make a key first (`lstmq keys create`, or LSTMQ_API_KEYS)."
    )


def protect(app: Flask, settings: Settings) -> None:
    """Install limits, checks, headers, the session cookie and the `csrf_token()` of templates."""
    app.secret_key = settings.secret_key or _kept_secret(settings.data_dir / _SECRET_FILE)
    app.config.update(
        SESSION_COOKIE_NAME="lstmq",
        SESSION_COOKIE_HTTPONLY=True,
        SESSION_COOKIE_SAMESITE="Lax",
        MAX_CONTENT_LENGTH=settings.max_body_bytes,
        MAX_FORM_MEMORY_SIZE=settings.max_body_bytes,
        MAX_FORM_PARTS=100,
    )
    app.session_interface = _SessionInterface()
    app.jinja_env.globals["csrf_token"] = csrf_token

    @app.before_request
    def check_request() -> None:
        kind = request.environ.get("CONTENT_TYPE", "")
        if kind and request.mimetype == "multipart/form-data":
            request.max_content_length = settings.max_upload_bytes + MULTIPART_SLACK_BYTES
        if "\0" in request.path:
            raise NotFound
        if request.endpoint in OPEN_ENDPOINTS:
            return
        if not current_identity().needs_key():
            _refuse_strangers()
        if request.method not in SAFE_METHODS:
            _refuse_foreign_pages()

    @app.after_request
    def add_headers(response: Response) -> Response:
        # In one pass: each look into the headers goes through all of them.
        said = {name.lower() for name, _ in response.headers}
        response.headers.extend(
            [(name, value) for name, value in HEADERS.items() if name.lower() not in said]
        )
        return response


def csrf_token() -> str:
    """The token a form of this session carries in its hidden field `csrf_token`."""
    if CSRF_FIELD not in session:
        session[CSRF_FIELD] = secrets.token_urlsafe(32)
    token: str = session[CSRF_FIELD]
    return token


def check_csrf() -> None:
    """Raise Forbidden unless the form (or the `X-CSRF-Token` header) carries its session's token.

    Every page that accepts a form calls this first.
    """
    given = request.headers.get(CSRF_HEADER) or request.form.get(CSRF_FIELD, "")
    expected = session.get(CSRF_FIELD, "")
    if not (expected and hmac.compare_digest(given.encode(), expected.encode())):
        raise Forbidden(
            "This form is too old, or your browser did not keep its cookie. Go back, load the page "
            "again and send the form once more."
        )


class _SessionInterface(SecureCookieSessionInterface):
    def open_session(self, app: Flask, request: Request) -> SecureCookieSession | None:
        # Programs have no cookie, and need not wait until the means to read one are made.
        has_some = "HTTP_COOKIE" in request.environ
        return super().open_session(app, request) if has_some else self.session_class()

    def save_session(self, app: Flask, session: SessionMixin, response: Response) -> None:
        if session or session.accessed or session.modified:
            super().save_session(app, session, response)

    def get_cookie_secure(self, app: Flask) -> bool:  # noqa: ARG002 - Flask's signature
        # Plain HTTP on loopback is fine; whoever came over TLS gets a cookie that stays on TLS.
        return request.is_secure


@lru_cache(maxsize=1024)
def _is_loopback(host: str) -> bool:
    try:
        # A peer's address comes bare (`::1`), a Host header in brackets with a port (`[::1]:8000`).
        bare = host.count(":") > 1 and not host.startswith("[")
        name = urlsplit(f"//[{host}]" if bare else f"//{host}").hostname or ""
    except ValueError:
        return False
    if name == "localhost" or name.endswith(".localhost"):
        return True
    try:
        return ipaddress.ip_address(name).is_loopback
    except ValueError:
        return False


def _refuse_strangers() -> None:
    """Without keys only this machine is let in, whatever address the server listens on."""
    # A server on a unix socket names no address. Behind a proxy everybody seems to be this machine.
    is_near = not request.remote_addr or _is_loopback(request.remote_addr)
    if not is_near or not PROXY_HEADERS.isdisjoint(request.environ):
        raise Forbidden(
            "Without keys only this machine is let in, and no proxy: make a key first "
            "(`lstmq keys create`, or LSTMQ_API_KEYS)."
        )
    if not _is_loopback(request.environ.get("HTTP_HOST", "")):
        raise Misdirected


def _refuse_foreign_pages() -> None:
    site = request.environ.get("HTTP_SEC_FETCH_SITE")
    if site in ("same-origin", "none"):
        return
    origin = request.environ.get("HTTP_ORIGIN")
    if site is None and origin is None:  # not a browser
        return
    if site is None and origin is not None:
        with suppress(ValueError):
            if urlsplit(origin).netloc.lower() == request.headers.get("Host", "").lower():
                return
    raise Forbidden("A page of another site may not change anything here.")


def _kept_secret(path: Path) -> str:
    """The secret in `path`, made on first use; several web processes agree on one."""
    path.parent.mkdir(parents=True, exist_ok=True, mode=0o700)
    if not path.exists():
        fresh = path.with_name(f"{path.name}.{secrets.token_hex(8)}")
        descriptor = os.open(fresh, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600)
        with os.fdopen(descriptor, "w") as file:
            file.write(secrets.token_urlsafe(48))
            file.flush()
            os.fsync(file.fileno())
        with suppress(FileExistsError):
            os.link(fresh, path)  # unlike a rename it never replaces another process' secret
        fresh.unlink()
    return path.read_text().strip()
