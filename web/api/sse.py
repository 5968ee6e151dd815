"""Server-sent events: how items become a stream a browser's EventSource reads."""

from collections.abc import Iterator

from flask import Response
from pydantic import BaseModel

from web.api.serialize import dump
from web.places import take_place
from worker.records import Json

# A comment: keeps proxies from closing a quiet stream, and shows us when nobody reads it any more.
HEARTBEAT = ": still here\n\n"


def frame(payload: Json | BaseModel, identifier: int | str | None = None) -> str:
    """One message; with an identifier a client that reconnects goes on after it."""
    head = "" if identifier is None else f"id: {identifier}\n"
    return f"{head}data: {dump(payload)}\n\n"


def respond_stream(frames: Iterator[str]) -> Response:
    """A response that sends each frame as it comes. Raises Unavailable when too many are open."""
    leave = take_place("stream")
    response = Response(frames, mimetype="text/event-stream")
    response.call_on_close(leave)
    # The second tells nginx not to collect the stream before it passes it on.
    response.headers.update({"Cache-Control": "no-store", "X-Accel-Buffering": "no"})
    return response
