"""Versions side by side: for some minutes of every upgrade, old and new processes share the queue.

A process leaves out what it does not know of what a newer one tells (`records.as_known`), and hands
back a job whose settings it does not understand: a worker of the newer version will take it.
"""

from collections.abc import Callable, Iterable
from importlib.metadata import version
from typing import TypeVar

from lstmcore.errors import ConfigError
from worker.database import SCHEMA_REVISION
from worker.errors import OtherVersion
from worker.records import Json, WorkerInfo

T = TypeVar("T")

VERSION = version("lstmq")
TABLES = SCHEMA_REVISION


def others(workers: Iterable[WorkerInfo]) -> list[str]:
    """Names and versions of the workers that are not of this process's version."""
    return [
        f"{worker.name}: {worker.version}, tables {worker.tables or 'unknown'}"
        for worker in workers
        if (worker.version, worker.tables) != (VERSION, TABLES)
    ]


def understood(parse: Callable[[Json], T], settings: Json) -> T:
    """A job's recorded settings, which were checked when it was submitted.

    Raises OtherVersion when they are refused now: they were submitted to a newer version.
    """
    try:
        return parse(settings)
    except ConfigError as error:
        raise OtherVersion(
            f"lstmq {VERSION} does not know these settings, a newer worker will: {error}"
        ) from error
