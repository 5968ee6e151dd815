"""Whether a request that makes something was sent before: these clients only say so."""

from flask import request

from web.auth import current_backend
from worker.repeats import Attempt

RETRIES = "X-Stainless-Retry-Count"


def this_attempt() -> Attempt:
    """The request as an attempt, to be asked for before its body is read."""
    count = request.headers.get(RETRIES, "0")
    repeated = count.isascii() and count.isdecimal() and count.strip("0") != ""
    return Attempt(current_backend().database.time(), repeated)
