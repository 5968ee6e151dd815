"""The advanced settings as form fields, made from the configuration's own description.

Every setting of `lstmcore.config` appears here by itself; a new one needs no change. An empty field
means "choose for me" and is not sent on; what was typed is translated, never judged:
`resolve_config` refuses it with the field's name, and the form shows that beside the field.
"""

import json
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, replace
from functools import cache
from typing import Any

from pydantic import BaseModel

from lstmcore.config import ModelConfig, TokenizerConfig, TrainingConfig
from lstmcore.errors import FieldError
from web.pages.wording import label, sentence

Json = dict[str, Any]

SECTIONS: Mapping[str, tuple[str, type[BaseModel]]] = {
    "tokenizer": ("How the text is cut into tokens", TokenizerConfig),
    "model": ("The network", ModelConfig),
    "training": ("How it learns", TrainingConfig),
}
OFF = "off"
YES_NO = (("true", "yes"), ("false", "no"))


@dataclass(frozen=True)
class Field:
    """One setting as the form shows it."""

    name: str  # "model.layers"
    label: str
    help: str
    choices: tuple[tuple[str, str], ...]  # (value, words); empty: a box to type in
    whole: bool  # only whole numbers make sense: decides the phone's keyboard
    may_be_off: bool
    value: str = ""
    message: str = ""  # why the value was refused

    @property
    def id(self) -> str:
        return "set-" + self.name.replace(".", "-").replace("_", "-")


@dataclass(frozen=True)
class Section:
    """A group of settings."""

    title: str
    fields: tuple[Field, ...]


def sections(values: Mapping[str, str], messages: Mapping[str, str]) -> list[Section]:
    """The settings with what was typed and what is wrong with it."""
    return [
        Section(
            title,
            tuple(
                replace(
                    field, value=values.get(field.name, ""), message=messages.get(field.name, "")
                )
                for field in _fields(section)
            ),
        )
        for section, (title, _) in SECTIONS.items()
    ]


def read_config(values: Mapping[str, str]) -> Json:
    """The partial configuration that a submitted form asks for."""
    config: Json = {}
    if preset := values.get("preset", "").strip():
        config["preset"] = preset
    if start := values.get("init_from", "").strip():
        config["init_from"] = start
    for section in SECTIONS:
        for field in _fields(section):
            typed = values.get(field.name, "").strip()
            if typed and typed.lower() != "auto":
                config.setdefault(section, {})[field.name.partition(".")[2]] = _value(field, typed)
    return config


def form_values(config: Mapping[str, Any]) -> dict[str, str]:
    """The filled-in fields that ask for this partial configuration."""
    values = {
        "preset": str(config.get("preset", "auto")),
        "init_from": config.get("init_from") or "",
    }
    for section in SECTIONS:
        for name, value in config.get(section, {}).items():
            values[f"{section}.{name}"] = OFF if value is None else json.dumps(value).strip('"')
    return values


def messages_by_field(errors: Iterable[FieldError]) -> dict[str, str]:
    """Refused values by the form's field: ["config", "model", "layers"] → "model.layers"."""
    found: dict[str, str] = {}
    for error in errors:
        path = [str(part) for part in error["loc"]]
        name = ".".join(path[1:] if path[:1] == ["config"] else path)
        found.setdefault(name, sentence(error["msg"]))
    return found


@cache  # the description of a configuration never changes
def _fields(section: str) -> tuple[Field, ...]:
    return tuple(_described(section, SECTIONS[section][1]))


def _described(section: str, model: type[BaseModel]) -> Iterable[Field]:
    properties: Json = model.model_json_schema()["properties"]
    for name, schema in properties.items():
        kinds = [kind for kind in schema.get("anyOf", [schema]) if kind.get("type") != "null"]
        choices = tuple((value, value) for value in kinds[0].get("enum", ()))
        if "const" in kinds[0]:
            continue  # nothing to choose
        yield Field(
            name=f"{section}.{name}",
            label=label(name),
            help=str(schema.get("description", "")).replace("null:", f"“{OFF}”:"),
            choices=YES_NO if kinds[0].get("type") == "boolean" else choices,
            whole=kinds[0].get("type") == "integer",
            may_be_off=len(kinds) < len(schema.get("anyOf", [schema])),
        )


def _value(field: Field, typed: str) -> Any:
    if field.may_be_off and typed.lower() in (OFF, "null", "none"):
        return None
    if field.choices and field.choices is not YES_NO:
        return typed
    try:
        # `1,000` and `0,5` are left for resolve_config to refuse: a guess could be wrong silently.
        value = json.loads(typed)
    except ValueError:
        return typed
    return float(value) if isinstance(value, int) and not field.whole else value
