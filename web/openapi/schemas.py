"""JSON schemas of everything that is sent and answered, each under its name once."""

from collections.abc import Iterable
from typing import Any, Literal

from pydantic import BaseModel, TypeAdapter

from lstmcore.config import Sampling, TrainConfig
from worker.records import Json

REFERENCE = "#/components/schemas/{model}"
ASKED = "Asked"  # what a user sends of settings: any part of them
Side = Literal["validation", "serialization"]


class Schemas:
    """The schemas of a document: `of` gives one, `components` all that they refer to."""

    def __init__(self, kinds: Iterable[tuple[Any, Side]]) -> None:
        inputs: Any = [((repr(kind), side), side, TypeAdapter(kind)) for kind, side in kinds]
        found, rest = TypeAdapter.json_schemas(inputs, ref_template=REFERENCE)
        self._found: dict[Any, Json] = {key: asked(schema) for (key, _), schema in found.items()}
        defined = {name: asked(schema) for name, schema in rest.get("$defs", {}).items()}
        self.components: Json = defined | _settings(TrainConfig) | _settings(Sampling)
        for schema in self.components.values():
            self._describe_parts(schema)

    def of(self, kind: Any, side: Side) -> Json:
        """The schema of one of the kinds, mostly a reference."""
        return self._found[repr(kind), side]

    def _describe_parts(self, schema: Json) -> None:
        """Pydantic leaves out the description of a field that says what its model says."""
        for field in schema.get("properties", {}).values():
            name = next(
                (each["$ref"] for each in (field, *field.get("anyOf", ())) if "$ref" in each), ""
            )
            if name and "description" not in field:
                field["description"] = self.components[name.rpartition("/")[2]]["description"]


def asked(value: Any) -> Any:
    """With settings that are checked later described where they are sent."""
    if isinstance(value, list):
        return [asked(each) for each in value]
    if not isinstance(value, dict):
        return value
    if name := value.get("x-asked"):
        kept = {key: value[key] for key in ("description", "examples", "default") if key in value}
        return {"$ref": REFERENCE.format(model=ASKED + name)} | kept
    return {key: asked(each) for key, each in value.items()}


def example_of(schema: Json, components: Json) -> Any:
    """A value put together from the examples of its fields."""
    for words in ("examples", "enum"):
        if words in schema:
            return schema[words][0]
    if "$ref" in schema:
        return example_of(components[schema["$ref"].rpartition("/")[2]], components)
    for choices in ("anyOf", "oneOf"):
        if choices in schema:
            return example_of(schema[choices][0], components)
    if "properties" in schema:
        fields = schema["properties"].items()
        return {name: example_of(field, components) for name, field in fields}
    if "items" in schema:
        return [example_of(schema["items"], components)]
    return schema.get("const", schema.get("default"))


def _settings(model: type[BaseModel]) -> Json:
    """Settings of which any part may be sent, or `auto` instead of a value."""
    template = REFERENCE.format(model=ASKED + "{model}")
    schema = model.model_json_schema(ref_template=template)
    parts: Json = schema.pop("$defs", {})
    return {
        ASKED + name: _any_part(part) for name, part in (parts | {model.__name__: schema}).items()
    }


def _any_part(schema: Json) -> Json:
    fields = {}
    for name, field in schema["properties"].items():
        words = {key: field[key] for key in ("description",) if key in field}
        value = {key: each for key, each in field.items() if key not in ("description", "title")}
        value.pop("default", None)
        choices = value["anyOf"] if value.keys() == {"anyOf"} else [value]
        fields[name] = words | {"anyOf": [*choices, {"const": "auto"}]}
    return {
        "type": "object",
        "description": schema.get("description", ""),
        "properties": fields,
        "additionalProperties": False,
    }
