"""Whether the whole can do its work: every part is asked, not assumed."""

import sqlalchemy as sa

from worker import release
from worker.backend import Backend
from worker.errors import StoreError, Unavailable

NO_WORKER = {
    "train": "no training worker is online: start one with `celery -A worker worker -Q train`",
    "predict": "no predictor is online: start one with `celery -A worker worker -Q predict`",
}


def readiness(backend: Backend) -> dict[str, str | None]:
    """Each part and what is wrong with it; None: nothing."""
    workers, train, predict = _workers(backend)
    return {
        "redis": workers,
        "database": _database(backend),
        "store": _store(backend),
        "train_worker": train,
        "predict_worker": predict,
    }


def other_versions(backend: Backend) -> list[str]:
    """Workers of another version than this process; none are known while Redis is away."""
    try:
        return release.others(backend.live.workers())
    except Unavailable:
        return []


def _workers(backend: Backend) -> tuple[str | None, str | None, str | None]:
    try:
        queues = {info.queue for info in backend.live.workers()}
    except Unavailable as error:
        unknown = "unknown while Redis does not answer"
        return str(error), unknown, unknown
    return (
        None,
        None if "train" in queues else NO_WORKER["train"],
        None if "predict" in queues else NO_WORKER["predict"],
    )


def _database(backend: Backend) -> str | None:
    try:
        with backend.database.reading() as connection:
            connection.execute(sa.text("select 1"))
    except Unavailable as error:
        return str(error)
    return None


def _store(backend: Backend) -> str | None:
    try:
        backend.store.check()
    except StoreError as error:
        return str(error)
    return None
