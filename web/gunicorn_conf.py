"""Gunicorn's settings: `gunicorn -c python:web.gunicorn_conf 'web:create_app()'`.

One process with many threads: an open page holds one connection for its live events, and the work
itself is done by the workers, so threads mostly wait.
"""

from worker.settings import Settings

_settings = Settings()

bind = [
    f"[{_settings.host}]:{_settings.port}"
    if ":" in _settings.host
    else f"{_settings.host}:{_settings.port}"
]
worker_class = "gthread"
workers = 1
threads = 64
# A stop closes open event streams after this many seconds; browsers come back by themselves.
graceful_timeout = 2
timeout = 60
keepalive = 5
loglevel = "warning"
# A file in the home folder that nobody asked for, and a read-only container has none.
control_socket_disable = True
