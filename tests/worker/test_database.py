"""The tables: one migration path, safe for many processes at once."""

from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import pytest
import sqlalchemy as sa
from alembic.autogenerate import compare_metadata
from alembic.config import Config
from alembic.migration import MigrationContext
from alembic.script import ScriptDirectory

import worker
from worker import database
from worker.errors import NewerRecords, Unavailable


def test_the_migrations_make_exactly_the_tables_of_the_code(tmp_path: Path) -> None:
    records = database.Database(f"sqlite:///{tmp_path}/records.sqlite")
    records.migrate()
    with records.reading() as connection:
        context = MigrationContext.configure(connection, opts={"compare_type": True})
        assert compare_metadata(context, database.metadata) == []
    records.close()


def test_the_code_knows_the_newest_migration(tmp_path: Path) -> None:
    config = Config()
    config.set_main_option(
        "script_location", str(Path(worker.__file__ or "").parent / "migrations")
    )
    assert ScriptDirectory.from_config(config).get_current_head() == database.SCHEMA_REVISION


def test_many_may_migrate_at_once(tmp_path: Path) -> None:
    def migrate(_: int) -> str | None:
        records = database.Database(f"sqlite:///{tmp_path}/records.sqlite")
        records.migrate()
        revision = records.revision()
        records.close()
        return revision

    with ThreadPoolExecutor(6) as pool:
        assert set(pool.map(migrate, range(6))) == {database.SCHEMA_REVISION}


def test_a_commit_is_on_the_disk_before_it_is_told(database_url: str) -> None:
    """SQLite: FULL. Postgres: also where somebody has set its commits free."""
    if database_url.startswith("postgresql"):
        admin = database.Database(database_url)
        name = sa.make_url(database_url).database
        with admin.writing() as connection:
            connection.exec_driver_sql(f'alter database "{name}" set synchronous_commit = off')
        admin.close()
    records = database.Database(database_url)
    with records.reading() as connection:
        if records.url.get_backend_name() == "sqlite":
            assert connection.exec_driver_sql("pragma synchronous").scalar() == 2
            assert connection.exec_driver_sql("pragma journal_mode").scalar() == "wal"
        else:
            assert connection.exec_driver_sql("show synchronous_commit").scalar() == "on"
    records.close()


def test_writers_wait_for_each_other(tmp_path: Path) -> None:
    records = database.Database(f"sqlite:///{tmp_path}/records.sqlite")
    records.migrate()
    with records.writing() as connection:
        connection.execute(sa.insert(database.owners).values(owner="ann", served_at=0.0))

    def count_up(_: int) -> None:
        with records.writing() as connection:
            value = connection.scalar(sa.select(database.owners.c.served_at)) or 0.0
            connection.execute(sa.update(database.owners).values(served_at=value + 1))

    with ThreadPoolExecutor(8) as pool:
        list(pool.map(count_up, range(100)))
    with records.reading() as connection:
        assert connection.scalar(sa.select(database.owners.c.served_at)) == 100.0
    records.close()


def test_an_older_version_leaves_newer_records_alone(tmp_path: Path) -> None:
    records = database.Database(f"sqlite:///{tmp_path}/records.sqlite")
    records.migrate()
    with records.writing() as connection:
        connection.execute(sa.text("update alembic_version set version_num = '9999'"))
    with pytest.raises(NewerRecords, match="start the newer version"):
        records.migrate()
    assert records.revision() == "9999"
    records.close()


def test_records_that_stay_locked_are_unavailable(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(database, "LOCK_SECONDS", 0.1)
    records = database.Database(f"sqlite:///{tmp_path}/records.sqlite")
    records.migrate()
    of_another_process = database.Database(f"sqlite:///{tmp_path}/records.sqlite")
    for other in (records, of_another_process):
        with (
            records.writing(),
            pytest.raises(Unavailable, match="locked"),
            other.writing(),
        ):
            pass
        with other.writing():  # and are free again
            pass
    records.close()
    of_another_process.close()


def test_an_unreachable_database_is_unavailable() -> None:
    records = database.Database("postgresql://nobody@127.0.0.1:1/none")
    with pytest.raises(Unavailable), records.reading():
        pass
    records.close()
