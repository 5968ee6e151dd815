"""The web server's own settings, with less patience, so that tests need not have so much."""

from web import gunicorn_worker
from web.api import events
from web.gunicorn_conf import *  # noqa: F403 - exactly its settings

gunicorn_worker.HEAD_SECONDS = 4.0
gunicorn_worker.WAIT_SECONDS = 3.0
gunicorn_worker.GRACE_SECONDS = 4.0
events.HEARTBEAT_SECONDS = 0.5
