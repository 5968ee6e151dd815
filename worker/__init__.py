"""The job contract and the workers: records, artifacts, the queue and the running of jobs.

`celery -A worker worker -Q train` finds the Celery app here; it is made when first asked for, so
that importing a contract module connects to nothing and loads neither torch nor Flask.
"""

from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from worker.queue import app as app


def __getattr__(name: str) -> Any:
    if name == "app":
        from worker.queue import app as celery_app  # noqa: PLC0415

        return celery_app
    raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
