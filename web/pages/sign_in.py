"""`/sign-in`: a browser shows its key once and gets a session for it."""

from flask import Response as FlaskResponse
from flask import g, make_response, render_template, request, session, url_for
from werkzeug.wrappers import Response

from web.auth import SESSION, caller_of_key, current_backend, current_identity, own_address
from web.pages.blueprint import pages, see_other
from web.roles import needs
from web.security import check_csrf
from worker import sessions

LONGEST_KEY = 1000


@pages.get("/sign-in")
def sign_in() -> Response:
    """The form, unless nobody needs it: already signed in, or no keys at all."""
    if "caller" in g:
        return see_other(own_address(request.args.get("next")))
    return _form()


@pages.post("/sign-in")
def begin_session() -> Response:
    """Begin a session when the key is right; the one before, if any, ends."""
    check_csrf()
    if not current_identity().needs_key():
        return see_other(url_for("pages.start"))
    key = request.form.get("key", "").strip()
    caller = caller_of_key(key) if 0 < len(key) <= LONGEST_KEY else None
    if caller is None:
        return _form("This key is not known, or it has ended. Look for a space too many.")
    _end()
    session[SESSION] = sessions.begin(current_backend(), owner=caller.owner, key=caller.key)
    g.caller = caller  # for the audit log
    return see_other(own_address(request.form.get("next")))


@pages.post("/sign-out")
@needs("viewer")
def end_session() -> Response:
    """End the session here and in the records."""
    check_csrf()
    _end()
    return see_other(url_for("pages.sign_in"))


def _end() -> None:
    token = session.get(SESSION)
    if token:
        sessions.end(current_backend(), token)
        current_identity().forget_session(token)
    session.clear()  # with its CSRF token: nothing of before is worth anything now


def _form(message: str = "") -> FlaskResponse:
    following = own_address(request.values.get("next"))
    response = make_response(render_template("sign_in.html", message=message, next=following))
    response.headers["Cache-Control"] = "no-store"
    if message:
        response.status_code = 401
        response.headers["WWW-Authenticate"] = 'Bearer realm="lstmq"'
    return response
