"""The errors that routes may answer, as each surface says them."""

from http import HTTPStatus
from typing import Any, Literal

from pydantic import BaseModel, ConfigDict, Field

from web.openai.errors import SAID_AS_400
from web.operation import Operation, about
from worker.records import Json

# Whatever one asks: no key, not the right one, a limit, a part that is away, another host.
ALWAYS = (401, 403, 421, 429, 503)
OF_BODIES = (400, 413, 415, 422)
RETRIED = (429, 503)


class Refusal(BaseModel):
    """A value that was refused."""

    loc: list[str | int] = about("Where it is in the request.", ["config", "model", "layers"])
    msg: str = about("What is wrong with it.", "Input should be less than or equal to 8")


class ProblemAnswer(BaseModel):
    """An error, as RFC 9457 has it."""

    model_config = ConfigDict(extra="allow")

    type: str = about("For programs; the last part says what it is.", "about:blank")
    title: str = about("What kind of error it is.", "Invalid input")
    status: int = about("The status once more.", 422)
    detail: str = about("What happened and what to do.", "Please correct: config.model.layers.")
    errors: list[Refusal] | None = about("Every value that was refused.", None, None)


class OpenaiError(BaseModel):
    """What is wrong, in OpenAI's words."""

    message: str = about("What happened and what to do.", "`purpose` must be `fine-tune`")
    type: Literal["invalid_request_error", "rate_limit_error", "server_error"] = about(
        "What kind of error it is.", "invalid_request_error"
    )
    param: str | None = about("The value that was refused.", "purpose")
    code: str | None = about("For programs.", "invalid_request")


class OpenaiErrorAnswer(BaseModel):
    """An error as OpenAI's clients read it."""

    error: OpenaiError = Field(description="What is wrong.")


def problem_schemas() -> Json:
    """The schemas of both ways to say an error."""
    found: Json = {}
    for model in (ProblemAnswer, OpenaiErrorAnswer):
        schema = model.model_json_schema(
            mode="serialization", ref_template="#/components/schemas/{model}"
        )
        found |= schema.pop("$defs", {})
        found[model.__name__] = schema
    return found


def refusals(blueprint: str, operation: Operation, *, has_path: bool) -> Json:
    """The errors of a route: those of every route, those of what it reads, and its own."""
    statuses = set(operation.refuses)
    if blueprint != "health":
        statuses |= set(ALWAYS)
    if has_path:
        statuses.add(404)
    if operation.query or operation.headers:
        statuses.add(422)
    if operation.body is not None or operation.form is not None:
        statuses |= set(OF_BODIES)
    is_openai = blueprint.startswith("openai")
    if is_openai:
        statuses = {400 if status in SAID_AS_400 else status for status in statuses}
    found = {str(status): _refusal(status, is_openai) for status in sorted(statuses)}
    if has_path or operation.query:
        # Gunicorn's own, before any route is known.
        said = "The address is longer than 4,094 bytes."
        found["414"] = {"description": said, "content": {"text/html": {}}}
    return found


def _refusal(status: int, is_openai: bool) -> Json:
    name, media_type = (
        ("OpenaiErrorAnswer", "application/json")
        if is_openai
        else ("ProblemAnswer", "application/problem+json")
    )
    told: dict[str, Any] = {
        "description": HTTPStatus(status).phrase,
        "content": {media_type: {"schema": {"$ref": f"#/components/schemas/{name}"}}},
    }
    if status in RETRIED:
        seconds = {"schema": {"type": "string"}, "description": "Seconds to wait."}
        told["headers"] = {"Retry-After": seconds}
    return told
