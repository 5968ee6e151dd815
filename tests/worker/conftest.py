"""Jobs to try the protocol on, without training anything, on SQLite and on Postgres."""

import shutil
import tempfile
from collections.abc import Callable, Iterator
from itertools import count
from pathlib import Path

import psycopg
import pytest

from tests.worker.servers import find_postgres, memory_folder, postgres
from worker import datasets, submissions
from worker.backend import Backend
from worker.database import Database
from worker.records import Job, Priority
from worker.settings import Settings

LINES = "what is your name : Jay\nwhat is capital of India : Delhi\nok\n"
TEMPLATE = "lstmq_migrated"
Submit = Callable[..., Job]
NewDatabase = Callable[[], str]


@pytest.fixture(scope="session")
def postgres_database() -> Iterator[NewDatabase]:
    """Makes migrated databases, each by copying one: faster than migrating each."""
    programs = find_postgres()
    if programs is None:
        pytest.skip("no Postgres here: sudo apt-get install postgresql")
    with postgres(programs) as server:
        numbers = count(1)
        with psycopg.connect(f"{server}/postgres", autocommit=True) as admin:
            admin.execute(f"create database {TEMPLATE}")
            records = Database(f"{server}/{TEMPLATE}")
            records.migrate()
            records.close()

            def make() -> str:
                name = f"lstmq_{next(numbers)}"
                admin.execute(f"create database {name} template {TEMPLATE} strategy file_copy")
                return f"{server}/{name}"

            yield make


@pytest.fixture
def sqlite_database() -> Iterator[NewDatabase]:
    """Makes the file of a database, which whoever opens it migrates."""
    folder = Path(tempfile.mkdtemp(prefix="lstmq-", dir=memory_folder()))
    yield lambda: f"sqlite:///{folder}/records.sqlite"
    shutil.rmtree(folder)


@pytest.fixture(params=["sqlite", "postgres"])
def database_url(request: pytest.FixtureRequest) -> str:
    """An empty database of its own: every test of the contract runs on both kinds."""
    make: NewDatabase = request.getfixturevalue(f"{request.param}_database")
    return make()


@pytest.fixture
def settings(settings: Settings, database_url: str) -> Settings:
    """The same installation, its records in either kind of database."""
    return settings.model_copy(update={"database_url": database_url})


@pytest.fixture
def submit(backend: Backend) -> Submit:
    """Submits the tutorial for an owner; each call is another job."""

    def submit_job(
        owner: str = "ann", name: str = "tutorial", priority: Priority = Priority.NORMAL
    ) -> Job:
        text = datasets.create(backend, owner, name=name, data=LINES.encode())
        return submissions.submit_train(
            backend,
            owner,
            name=name,
            dataset=text.id,
            config={"preset": "tutorial"},
            priority=priority,
        )

    return submit_job
