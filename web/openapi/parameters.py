"""What stands in addresses and headers: the parameters that are not fields of a model."""

import re
from typing import Any

from web.api.shapes import DATASET_ID, JOB_ID, MODEL_ID
from web.openai.ids import fine_tuning_id
from worker.records import Json

CONVERTER = re.compile(r"<(?:[a-z]+:)?([a-z]+)>")

# What `<identifier>` is the id of, by the blueprint of the route.
IDENTIFIERS = {
    "api.datasets": ("dataset", DATASET_ID),
    "api.jobs": ("job", JOB_ID),
    "api.events": ("job", JOB_ID),
    "api.sweeps": ("sweep", "sweep-2a4c6e8f0b1d3f5a7c9e"),
    "api.webhooks": ("webhook", "hook-1b2c3d4e5f60718293a4"),
    "api.keys": ("key", "key-0a1b2c3d4e5f60718293"),
    "openai.files": ("file", f"file-{DATASET_ID.partition('-')[2]}"),
    "openai.jobs": ("fine-tuning job", fine_tuning_id(JOB_ID)),
}
HEADERS: dict[str, tuple[str, Any, Json]] = {
    "Prefer": (
        "`wait=N`: answer when it is done, after N seconds at the latest.",
        "wait=30",
        {"type": "string", "pattern": "^wait=[0-9]{1,2}$"},
    ),
    "Idempotency-Key": (
        "Sent again with the same key, the request gets the record that the first one made.",
        "5f3a-1",
        {"type": "string", "minLength": 1, "maxLength": 200, "pattern": "^[!-~]+$"},
    ),
    "If-None-Match": (
        "The `ETag` you have: 304 when nothing is newer.",
        'W/"0"',
        {"type": "string"},  # anything else is an ETag that nothing has
    ),
    "Last-Event-ID": (
        "Of a stream: only what came after this event.",
        "0",
        {"type": "string"},  # read for streams only
    ),
}


def path_of(rule: str) -> str:
    """A route's pattern as OpenAPI writes it."""
    return CONVERTER.sub(r"{\1}", rule)


def of_path(rule: str, blueprint: str) -> list[Json]:
    """The parameters in a route's pattern."""
    return [_in_path(name, blueprint) for name in CONVERTER.findall(rule)]


def of_headers(names: tuple[str, ...]) -> list[Json]:
    """Headers that a route reads."""
    return [
        {
            "name": name,
            "in": "header",
            "required": False,
            "description": HEADERS[name][0],
            "schema": HEADERS[name][2] | {"examples": [HEADERS[name][1]]},
            "example": HEADERS[name][1],
        }
        for name in names
    ]


def of_query(schema: Json) -> list[Json]:
    """The fields of a query's schema. What may be left out cannot be null: it is left out."""
    required = schema.get("required", [])
    return [
        {
            "name": name,
            "in": "query",
            "required": name in required,
            "description": field.get("description", ""),
            "schema": _without_null(field),
            **({"example": field["examples"][0]} if field.get("examples") else {}),
        }
        for name, field in schema.get("properties", {}).items()
    ]


def _in_path(name: str, blueprint: str) -> Json:
    if name == "reference":
        words, example = "The id of a model, or its name.", MODEL_ID
    else:
        what, example = IDENTIFIERS[blueprint]
        words = f"The id of a {what}."
    return {
        "name": name,
        "in": "path",
        "required": True,
        "description": words,
        "schema": {"type": "string", "minLength": 1, "examples": [example]},
        "example": example,
    }


def _without_null(field: Json) -> Json:
    kept = {key: value for key, value in field.items() if key not in ("anyOf", "title", "default")}
    choices = [each for each in field.get("anyOf", []) if each != {"type": "null"}]
    if len(choices) == 1:
        kept = choices[0] | kept
    elif choices:
        kept["anyOf"] = choices
    if field.get("default") is not None:
        kept["default"] = field["default"]
    return kept
