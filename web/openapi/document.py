"""The document as a whole: paths from the routes, words from docstrings, schemas from models."""

import inspect
import sys
from collections.abc import Iterator
from dataclasses import dataclass
from http import HTTPStatus
from importlib.metadata import version
from typing import Any

from flask import Flask
from pydantic import BaseModel
from werkzeug.routing import Rule

from web.openapi import parameters
from web.openapi.problems import problem_schemas, refusals
from web.openapi.schemas import Schemas, Side, example_of
from web.operation import Operation, Raw
from web.roles import needed_role
from worker.records import Json

# The blueprints of programs; pages are for people.
SURFACES = ("api.", "openai.", "health.", "metrics.")
OPEN = ("health.",)  # answered without a key
DESCRIPTION = """Trains LSTM language models on texts and asks them. Errors under `/api` are \
`application/problem+json` (RFC 9457), under `/v1` OpenAI's. Where there are keys, send \
`Authorization: Bearer KEY`. Every answer has an `X-Request-Id`."""


@dataclass(frozen=True)
class Route:
    """A route of the API: its view and what stands beside it."""

    rule: Rule
    method: str
    view: Any
    operation: Operation

    @property
    def blueprint(self) -> str:
        """Which room it is of, as in `api.jobs`."""
        return str(self.rule.endpoint).rpartition(".")[0]

    @property
    def path(self) -> str:
        """Its address, with `{names}`."""
        return parameters.path_of(self.rule.rule)


def routes(app: Flask) -> Iterator[Route]:
    """Every described route, in the order they were made."""
    for rule in app.url_map.iter_rules():
        view = app.view_functions[rule.endpoint]
        operation = getattr(view, "operation", None)
        if operation is None or not rule.endpoint.startswith(SURFACES):
            continue
        for method in sorted((rule.methods or set()) - {"HEAD", "OPTIONS"}):
            yield Route(rule, method, view, operation)


def build(app: Flask) -> Json:
    """The OpenAPI document of an app."""
    found = list(routes(app))
    schemas = Schemas(_kinds(found))
    components = schemas.components | problem_schemas()
    paths: Json = {}
    tags: Json = {}
    for route in found:
        paths.setdefault(route.path, {})[route.method.lower()] = _operation(
            app, route, schemas, components
        )
        tags.setdefault(_tag(route), _words(sys.modules[route.view.__module__]))
    return {
        "openapi": "3.1.0",
        "info": {"title": "lstmq", "version": version("lstmq"), "description": DESCRIPTION},
        "servers": [{"url": "/"}],
        "tags": [{"name": name, "description": words} for name, words in tags.items()],
        "paths": paths,
        "components": {
            "schemas": dict(sorted(components.items())),
            "securitySchemes": {
                "key": {"type": "http", "scheme": "bearer", "description": "A key of yours."}
            },
        },
    }


def _operation(app: Flask, route: Route, schemas: Schemas, components: Json) -> Json:
    operation = route.operation
    summary, _, rest = _words(route.view).partition("\n\n")
    role = needed_role(app, route.rule.endpoint, route.method)
    is_open = route.blueprint + "." in OPEN
    told: Json = {
        "operationId": route.rule.endpoint,
        "tags": [_tag(route)],
        "summary": " ".join(summary.split()),
        "description": rest or ("" if is_open else f"For the role {role}."),
        "security": [] if is_open else [{"key": []}],
        "parameters": [
            *parameters.of_path(route.rule.rule, route.blueprint),
            *(_query(operation.query, schemas, components) if operation.query else []),
            *parameters.of_headers(operation.headers),
        ],
        "responses": {
            str(status): _answer(status, contents, schemas, components)
            for status, contents in operation.answers.items()
        }
        | refusals(route.blueprint, operation, has_path=bool(route.rule.arguments)),
    }
    if body := _request(operation, schemas, components):
        told["requestBody"] = body
    return told


def _query(kind: type[BaseModel], schemas: Schemas, components: Json) -> list[Json]:
    schema = schemas.of(kind, "validation")
    if "$ref" in schema:
        schema = components[schema["$ref"].rpartition("/")[2]]
    return parameters.of_query(schema)


def _request(operation: Operation, schemas: Schemas, components: Json) -> Json | None:
    content: Json = {}
    if operation.body is not None:
        schema = schemas.of(operation.body, "validation")
        named = operation.examples or {"an example": example_of(schema, components)}
        content["application/json"] = {
            "schema": schema,
            "examples": {name: {"value": value} for name, value in named.items()},
        }
    if operation.form is not None:
        fields = schemas.of(operation.form, "validation")
        file = {"type": "string", "format": "binary", "description": operation.file}
        whole = dict(components[fields["$ref"].rpartition("/")[2]])
        whole["properties"] = {"file": file} | {
            name: {key: value for key, value in field.items() if key != "title"}
            for name, field in whole["properties"].items()
        }
        whole["required"] = ["file", *whole.get("required", [])]
        content["multipart/form-data"] = {"schema": whole}
    return {"required": operation.body_required, "content": content} if content else None


def _answer(status: int, contents: Any, schemas: Schemas, components: Json) -> Json:
    told: Json = {"description": HTTPStatus(status).phrase}
    if contents is None:
        return told
    content: Json = {}
    for each in contents if isinstance(contents, tuple) else (contents,):
        if isinstance(each, Raw):
            content[each.media_type] = _raw(each)
            continue
        schema = schemas.of(each, "serialization")
        if "application/json" in content:  # another shape of the same answer
            first = content["application/json"]["schema"]
            schema = {"anyOf": [*first.get("anyOf", [first]), schema]}
        content["application/json"] = {"schema": schema, "example": example_of(schema, components)}
    return told | {"content": content}


def _raw(raw: Raw) -> Json:
    told: Json = {"example": raw.example} if raw.example else {}
    if raw.media_type == "text/event-stream":
        return told  # OpenAPI 3.1 has no schema for one event of a stream
    kind = "object" if raw.media_type == "application/json" else "string"
    return told | {"schema": {"type": kind, "description": raw.description}}


def _kinds(found: list[Route]) -> Iterator[tuple[Any, Side]]:
    seen = set()
    for route in found:
        operation = route.operation
        asked = (operation.query, operation.body, operation.form)
        answered = [
            each
            for contents in operation.answers.values()
            for each in (contents if isinstance(contents, tuple) else (contents,))
            if not isinstance(each, Raw)
        ]
        for kinds, side in ((asked, "validation"), (answered, "serialization")):
            for kind in kinds:
                if kind is not None and repr(kind) not in seen:
                    seen.add(repr(kind))
                    yield kind, side  # type: ignore[misc]


def _tag(route: Route) -> str:
    surface, _, resource = route.blueprint.partition(".")
    return resource if surface == "api" else f"{surface} {resource}".strip()


def _words(documented: Any) -> str:
    return inspect.getdoc(documented) or ""
