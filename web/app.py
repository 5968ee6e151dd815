"""The application factory: settings in, Flask app out."""

from collections.abc import Callable
from functools import cache, partial
from threading import BoundedSemaphore
from typing import Any

from flask import Flask
from werkzeug.middleware.proxy_fix import ProxyFix

from web import auditing, auth, errors, limits, metrics, places, request_id, security
from web.api import api
from web.api.reference import DOCUMENT
from web.health import health
from web.openai import openai
from web.openai.errors import render_error
from web.openapi.document import build
from web.pages import pages, preview
from web.references import JobReference, ModelReference
from web.watching import WATCHERS, Watchers
from worker.backend import open_backend
from worker.keys import check_door
from worker.settings import Settings

# How errors are said under each path; everywhere else they are pages.
SURFACES = {
    "/api": errors.render_problem,
    "/healthz": errors.render_problem,
    "/readyz": errors.render_problem,
    "/metrics": errors.render_problem,
    "/v1": render_error,
}


class App(Flask):
    """Flask, told that nothing here is a coroutine: it would look at every function each time."""

    def ensure_sync(self, func: Callable[..., Any]) -> Callable[..., Any]:
        """The function itself."""
        return func


def create_app(settings: Settings | None = None) -> Flask:
    """Build the app on an opened backend (`app.extensions["lstmq"]`). Starts no process.

    Raises ValueError when it would listen beyond this machine without any key.
    """
    settings = settings or Settings()
    app = App("web")
    app.url_map.converters |= {"model": ModelReference, "job": JobReference}
    backend = open_backend(settings)
    check_door(backend)
    app.extensions["lstmq"] = backend
    app.extensions[WATCHERS] = Watchers(backend)
    app.extensions[preview.LOOKS] = BoundedSemaphore(preview.MOST_LOOKS)
    if settings.trusted_proxies:
        # Not the host: a proxy passes on the one that was asked for.
        hops = settings.trusted_proxies
        app.wsgi_app = ProxyFix(app.wsgi_app, x_for=hops, x_proto=hops, x_host=0)  # type: ignore[method-assign]
    request_id.give_ids(app)
    metrics.count_requests(app, backend)
    security.protect(app, settings)
    auth.require_caller(app, backend)
    limits.limit_requests(app, backend)
    places.provide_places(app)
    auditing.keep_audit(app)
    errors.handle_errors(app, SURFACES)
    app.register_blueprint(health)
    app.register_blueprint(metrics.metrics)
    app.register_blueprint(api)
    app.register_blueprint(openai)
    app.register_blueprint(pages)
    app.extensions[DOCUMENT] = cache(partial(build, app))
    return app
