"""Asking a service: which one, and what its refusals mean for the exit code."""

import contextlib
import os
from collections.abc import Iterator
from http import HTTPStatus
from pathlib import Path

from web.client import ApiError, Client
from web.commands.terminal import Exit, fail
from web.lock import running_url

DEFAULT_URL = "http://127.0.0.1:8000"
CODES: dict[int | None, Exit] = {
    None: Exit.NO_SERVICE,
    HTTPStatus.UNAUTHORIZED: Exit.NOT_ALLOWED,
    HTTPStatus.FORBIDDEN: Exit.NOT_ALLOWED,
    HTTPStatus.NOT_FOUND: Exit.NOT_FOUND,
    HTTPStatus.CONFLICT: Exit.FAILED,
    HTTPStatus.TOO_MANY_REQUESTS: Exit.NOT_NOW,
    HTTPStatus.SERVICE_UNAVAILABLE: Exit.NOT_NOW,
}


@contextlib.contextmanager
def connected(url: str) -> Iterator[Client]:
    """A client of the named or the local service; what goes wrong is told and ends the command."""
    data_dir = Path(os.environ.get("LSTMQ_DATA_DIR") or "var")
    key = os.environ.get("LSTMQ_API_KEY", "").strip()
    if not key.isascii() or not key.isprintable():
        fail("LSTMQ_API_KEY is not a key: it holds characters that no key has.", Exit.WRONG_USE)
    with Client(url or running_url(data_dir) or DEFAULT_URL, key) as client:
        try:
            yield client
        except ApiError as error:
            fail(str(error), code_of(error))
        except KeyboardInterrupt:
            fail("Interrupted.", Exit.INTERRUPTED)
        except BrokenPipeError:  # whoever reads our output has had enough: click ends quietly
            raise
        except OSError as error:
            place = error.filename or "a file"
            fail(f"{place} cannot be used: {error.strerror or error}.", Exit.FAILED)


def code_of(error: ApiError) -> Exit:
    """The exit code that fits an error."""
    refused = HTTPStatus.BAD_REQUEST <= (error.status or 0) < HTTPStatus.INTERNAL_SERVER_ERROR
    return CODES.get(error.status, Exit.WRONG_USE if refused else Exit.FAILED)
