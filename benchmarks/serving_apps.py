"""Small apps that `benchmarks.serving` is measured against; each runs as a process of its own.

celery -A benchmarks.serving_apps worker …        (an echo over Celery)
gunicorn benchmarks.serving_apps:bare             (a JSON route and nothing else)
"""

import os
import sys
from pathlib import Path
from typing import Any

BARE_ANSWER = {"id": "job-1", "object": "job", "state": "succeeded", "progress": {"step": 100}}


def bare(environ: Any, start_response: Any) -> Any:
    """The WSGI application with one route, made when it is first called."""
    return _bare_app()(environ, start_response)


def _bare_app() -> Any:
    global _BARE  # noqa: PLW0603
    if _BARE is None:
        from flask import Flask, jsonify  # noqa: PLC0415

        _BARE = Flask("bare")
        _BARE.get("/")(lambda: jsonify(BARE_ANSWER))
    return _BARE


_BARE: Any = None


def _echo_app() -> Any:
    """A Celery app with the service's settings, whose one task sends its argument back."""
    import redis  # noqa: PLC0415

    from worker.queue import make_app  # noqa: PLC0415
    from worker.settings import Settings  # noqa: PLC0415

    settings = Settings()
    celery = make_app(settings)
    celery.conf.include = []
    client = redis.Redis.from_url(settings.effective_redis_url)

    def echo(key: str, value: str) -> None:
        client.rpush(key, value)

    celery.task(name="echo")(echo)
    return celery


if "celery" in Path(sys.argv[0]).name or os.environ.get("LSTMQ_BENCH_ECHO"):
    app = _echo_app()
