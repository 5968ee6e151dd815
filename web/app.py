"""The application factory: settings in, Flask app out."""

from threading import BoundedSemaphore

from flask import Flask

from web import auth, errors, metrics, security
from web.api import api, sse
from web.health import health
from web.pages import pages
from worker.backend import open_backend
from worker.settings import Settings


def create_app(settings: Settings | None = None) -> Flask:
    """Build the app on an opened backend (`app.extensions["lstmq"]`). Starts no process."""
    settings = settings or Settings()
    app = Flask("web")
    backend = open_backend(settings)
    app.extensions["lstmq"] = backend
    app.extensions[sse.STREAMS] = BoundedSemaphore(sse.MOST_STREAMS)
    metrics.count_requests(app, backend)
    security.protect(app, settings)
    auth.require_owner(app, settings)
    errors.handle_errors(app)
    app.register_blueprint(health)
    app.register_blueprint(metrics.metrics)
    app.register_blueprint(api)
    app.register_blueprint(pages)
    return app
