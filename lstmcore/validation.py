"""Checking values with pydantic, and saying in plain words what is wrong and where."""

import math
from collections.abc import Iterable, Mapping
from typing import Any, TypeVar

from pydantic import BaseModel, ValidationError
from pydantic_core import ErrorDetails, InitErrorDetails, PydanticCustomError

from lstmcore.errors import ConfigError, FieldError

M = TypeVar("M", bound=BaseModel)

# Pydantic's kinds of mistakes in plain words; {names} are the limits that come with them.
_SENTENCES = {
    "refused": "{sentence}",
    "extra_forbidden": "is not a setting; check its spelling",
    "invalid_key": "is not a setting; names of settings are text",
    "missing": "is missing",
    "int_type": "should be a whole number",
    "int_from_float": "should be a whole number",
    "float_type": "should be a number",
    "finite_number": "should be an ordinary number",
    "bool_type": "should be true or false",
    "string_type": "should be text",
    "string_too_short": "should not be empty",
    "string_too_long": "should have at most {max_length} characters",
    "list_type": "should be a list",
    "too_long": "should have at most {max_length} entries",
    "model_type": "should be an object of settings",
    "greater_than": "should be more than {gt}",
    "greater_than_equal": "should be {ge} or more",
    "less_than_equal": "should be {le} or less",
    "literal_error": "should be one of {expected}",
}


def validated(model: type[M], values: Mapping[str, Any]) -> M:
    """Build a settings model. Raises ConfigError that names every refused field."""
    try:
        return model.model_validate(values)
    except ValidationError as error:
        details = error.errors(include_url=False, include_input=False)
        raise config_error([_field_error(detail) for detail in details]) from None
    except OverflowError:
        raise ConfigError("One of the numbers is far too large.") from None


def config_error(errors: list[FieldError]) -> ConfigError:
    """A ConfigError whose sentence is the first problem and the number of others."""
    first = errors[0]
    more = f" (and {len(errors) - 1} more)" if len(errors) > 1 else ""
    return ConfigError(
        f"{'.'.join(map(str, first['loc'])) or 'The settings'} {first['msg']}{more}.", errors
    )


def refuse(loc: tuple[str, ...], message: str) -> None:
    """Raise ValidationError from inside a validator, at a place of our choice."""
    refuse_all([(loc, message)])


def refuse_all(problems: Iterable[tuple[tuple[str, ...], str]]) -> None:
    """Raise ValidationError for all (place, sentence) pairs, if there are any.

    Pydantic puts the places of the outer models before them.
    """
    details = [
        InitErrorDetails(
            # the sentence goes in as a value: it may hold braces
            type=PydanticCustomError("refused", "{sentence}", {"sentence": sentence}),
            loc=loc,
            input=None,
        )
        for loc, sentence in problems
    ]
    if details:
        raise ValidationError.from_exception_data("settings", details)


def plain(value: object) -> str:
    """A value as JSON writes it, for a sentence."""
    if value is None or isinstance(value, bool):
        return {None: "null", True: "true", False: "false"}[value]
    return f"{value:,g}" if isinstance(value, float) and math.isfinite(value) else str(value)


def _field_error(detail: ErrorDetails) -> FieldError:
    limits = {name: plain(limit) for name, limit in detail.get("ctx", {}).items()}
    sentence = _SENTENCES.get(detail["type"])
    if sentence is None:
        return {"loc": list(detail["loc"]), "msg": detail["msg"][0].lower() + detail["msg"][1:]}
    return {"loc": list(detail["loc"]), "msg": sentence.format_map(limits)}


def field_help(model: type[BaseModel], prefix: str = "") -> dict[str, str]:
    """The description of every field, also of models inside, by its dotted name."""
    found: dict[str, str] = {}
    for name, field in model.model_fields.items():
        found[prefix + name] = field.description or ""
        if isinstance(field.annotation, type) and issubclass(field.annotation, BaseModel):
            found |= field_help(field.annotation, f"{prefix}{name}.")
    return found
