"""Gunicorn's settings: `gunicorn -c python:web.gunicorn_conf 'web:create_app()'`.

One process with many threads: an open page holds one connection for its live events, and the work
itself is done by the workers, so threads mostly wait. How many may wait for what stands in
`places`; clients that are slow hold no thread (`gunicorn_worker`).
"""

from contextlib import closing

from web.gunicorn_worker import raise_open_files
from web.places import THREADS
from worker.backend import open_backend
from worker.keys import check_door
from worker.logs import configuration
from worker.settings import Settings

_settings = Settings()
with closing(open_backend(_settings)) as _backend:
    check_door(_backend)  # before anything listens

bind = [
    f"[{_settings.host}]:{_settings.port}"
    if ":" in _settings.host
    else f"{_settings.host}:{_settings.port}"
]
worker_class = "web.gunicorn_worker.Worker"
workers = 1
threads = THREADS
worker_connections = 2000
raise_open_files(worker_connections + 500)
# A stop closes open event streams after this many seconds; browsers come back by themselves.
graceful_timeout = 2
timeout = 60
keepalive = 5
loglevel = "warning"
logger_class = "web.gunicorn_worker.QuietLogger"
# Nobody's X-Forwarded-* is believed here; the application believes LSTMQ_TRUSTED_PROXIES of them.
forwarded_allow_ips = ""
logconfig_dict = configuration(_settings, "web")
# A file in the home folder that nobody asked for, and a read-only container has none.
control_socket_disable = True
