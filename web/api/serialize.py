"""Answers as JSON that intermediaries do not keep."""

import json
import math
from typing import Any

from flask import Response
from pydantic import BaseModel

ENCODER = json.JSONEncoder(ensure_ascii=False, allow_nan=False)


def respond_json(
    payload: Any, status: int = 200, headers: dict[str, str] | None = None
) -> Response:
    """A JSON response: of a described answer, or of anything else JSON can say."""
    response = Response(dump(payload) + "\n", status=status, mimetype="application/json")
    response.headers["Cache-Control"] = "no-store"
    response.headers.update(headers or {})
    return response


def dump(payload: Any) -> str:
    """`payload` as JSON on one line, in which every number is finite."""
    if isinstance(payload, BaseModel):
        return payload.model_dump_json()
    try:
        return ENCODER.encode(payload)
    except ValueError:  # there is a number that JSON cannot write
        return ENCODER.encode(_finite(payload))


def _finite(value: Any) -> Any:
    if isinstance(value, float):
        return value if math.isfinite(value) else None
    if isinstance(value, dict):
        return {key: _finite(member) for key, member in value.items()}
    if isinstance(value, list | tuple):
        return [_finite(member) for member in value]
    return value
