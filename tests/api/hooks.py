"""What schemathesis is told in Python."""

from itertools import count
from typing import Any

import schemathesis

ADDRESSES = count(1)


@schemathesis.hook
def before_call(_: Any, case: Any, __: Any) -> None:
    """Come from an address of one's own."""
    number = next(ADDRESSES)
    case.headers["X-Forwarded-For"] = f"10.{number >> 16 & 255}.{number >> 8 & 255}.{number & 255}"
