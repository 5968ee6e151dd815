"""Server-sent events, read: the story of a job, each event once, whatever happens to the line."""

import json
import time
from collections.abc import Iterable, Iterator
from http import HTTPStatus

import httpx

from web.client import ApiError, Client, Json, segment

LARGEST_MESSAGE_BYTES = 8 << 20
PATIENCE_SECONDS = 60.0  # a service that is restarted is away for less
LONGEST_PAUSE_SECONDS = 5.0
TIMEOUT = httpx.Timeout(10.0, read=30.0)  # it says that it is there every ten seconds
MEDIA_TYPE = "text/event-stream"


def messages(chunks: Iterable[bytes]) -> Iterator[Json]:
    """The JSON of each message of a stream; comments and ids, which our JSON repeats, left out.

    Raises ApiError when it is no such stream.
    """
    waiting, data = b"", b""
    for chunk in chunks:
        waiting += chunk
        *lines, waiting = waiting.split(b"\n")
        for line in lines:
            name, _, value = line.rstrip(b"\r").partition(b":")
            if name == b"data":
                data += value.removeprefix(b" ")
            elif not name and not value and data:  # an empty line ends a message
                yield _parse(data)
                data = b""
        if len(waiting) + len(data) > LARGEST_MESSAGE_BYTES:
            raise _unreadable()


def story(client: Client, identifier: str, after: int | str = 0) -> Iterator[Json]:
    """What happens to a job until its end: kept events in order, and progress in between.

    Connects again after the last event seen when the line breaks. Raises ApiError when the service
    stays away, or the job is gone.
    """
    path = f"/jobs/{segment(identifier)}/events"
    patience = Patience()
    while True:
        headers = {"Accept": MEDIA_TYPE, "Last-Event-ID": str(after)}
        try:
            with client.stream("GET", path, headers=headers, timeout=TIMEOUT) as response:
                if response.status_code == HTTPStatus.NO_CONTENT:  # it ended, and all was told
                    return
                for event in messages(response.iter_bytes()):
                    patience.renew()
                    after = event.get("id") or after
                    yield event
        except ApiError as error:
            patience.wait(error)


class Patience:
    """Waits a while after an error that may pass; raises one that lasts, or that will not pass."""

    def __init__(self) -> None:
        self.renew()

    def renew(self) -> None:
        """It went well again."""
        self._deadline = time.monotonic() + PATIENCE_SECONDS
        self._pause = 0.25

    def wait(self, error: ApiError) -> None:
        """Pause before the next try."""
        if not error.passing or time.monotonic() > self._deadline:
            raise error
        time.sleep(min(error.retry_after or self._pause, LONGEST_PAUSE_SECONDS))
        self._pause = min(2 * self._pause, LONGEST_PAUSE_SECONDS)


def _parse(data: bytes) -> Json:
    try:
        message = json.loads(data)
    except ValueError as error:
        raise _unreadable() from error
    if not isinstance(message, dict):
        raise _unreadable()
    return message


def _unreadable() -> ApiError:
    return ApiError("The service sent a stream that cannot be read.", HTTPStatus.OK)
