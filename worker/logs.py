"""What every process of the service writes about itself: one event a line.

As text for people, or as JSON for machines (`LSTMQ_LOG_FORMAT=json`), with the job and the request
it is about: `about(job=…)` adds names to every line written inside it, whoever writes it.
"""

import logging.config
import socket
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from contextvars import ContextVar
from types import MappingProxyType
from typing import Any

import structlog
from structlog.typing import EventDict, Processor, WrappedLogger

from worker.settings import Settings

# Their words at INFO are about messages, which say nothing about the work.
QUIET = ("celery", "kombu", "alembic", "httpx", "gunicorn.error", "gunicorn.access")

# What is being worked on in this thread. (One variable: structlog's own context has one for each
# name and looks through all there are to forget them.)
_about: ContextVar[Mapping[str, str]] = ContextVar("about", default=MappingProxyType({}))


def configuration(settings: Settings, part: str) -> dict[str, Any]:
    """For `logging.config.dictConfig`: everything to standard error. `part` says who writes."""
    as_json = settings.log_format == "json"
    render: list[Processor] = [
        structlog.stdlib.ProcessorFormatter.remove_processors_meta,
        structlog.processors.format_exc_info,  # as text: without the values of anybody's variables
        _json if as_json else _text,
    ]
    head: list[Processor] = [
        _add_names,
        structlog.stdlib.add_log_level,
        structlog.stdlib.add_logger_name,
        structlog.stdlib.ExtraAdder(),
        structlog.processors.TimeStamper(fmt="iso", utc=True, key="at"),
    ]
    return {
        "version": 1,
        "disable_existing_loggers": False,
        "formatters": {
            "line": {
                "()": structlog.stdlib.ProcessorFormatter,
                "processors": [_said_by(part), *render],
                "foreign_pre_chain": head,
            }
        },
        "handlers": {
            "stderr": {
                "class": "logging.StreamHandler",
                "formatter": "line",
                "stream": "ext://sys.stderr",
            }
        },
        "root": {"level": settings.log_level.upper(), "handlers": ["stderr"]},
        "loggers": {name: {"level": "WARNING"} for name in QUIET},
    }


def configure(part: str, settings: Settings | None = None) -> None:
    """Write the lines of this process as its settings say."""
    logging.config.dictConfig(configuration(settings or Settings(), part))


@contextmanager
def about(**names: str | None) -> Iterator[None]:
    """Name what the lines written inside are about; a name that is None is left out."""
    given = {name: value for name, value in names.items() if value is not None}
    before = _about.set({**_about.get(), **given})
    try:
        yield
    finally:
        _about.reset(before)


def begin(**names: str) -> None:
    """Forget whatever lines were about before, and name anew."""
    _about.set(names)


def name(**names: str) -> None:
    """The same until the innermost `about` ends: a name that becomes known on the way."""
    _about.set({**_about.get(), **names})


def named(name: str) -> str | None:
    """What the lines written now are about under this name."""
    return _about.get().get(name)


def _add_names(_logger: WrappedLogger, _method: str, event: EventDict) -> EventDict:
    return {**_about.get(), **event}


def _said_by(part: str) -> Processor:
    host = socket.gethostname()

    def add(_logger: WrappedLogger, _method: str, event: EventDict) -> EventDict:
        event.update(part=part, host=host)
        return event

    return add


def _json(logger: WrappedLogger, method: str, event: EventDict) -> str | bytes:
    first = {name: event.pop(name) for name in ("at", "level", "event")}
    return structlog.processors.JSONRenderer(default=str)(logger, method, {**first, **event})


def _text(_logger: WrappedLogger, _method: str, event: EventDict) -> str:
    trace = event.pop("exception", "")
    shown = ("level", "logger", "event", "at", "part", "host")
    more = " ".join(f"{name}={value}" for name, value in sorted(event.items()) if name not in shown)
    line = f"{event['level'].upper()} {event['logger']}: {event['event']}"
    return "".join((line, f" ({more})" if more else "", f"\n{trace}" if trace else ""))
