"""`/docs`: the API's document for people, made on the server; no script, nothing from elsewhere."""

import json
from typing import Any

from flask import current_app, render_template, request

from web.api.reference import DOCUMENT
from web.pages.blueprint import pages
from worker.records import Json

METHODS = ("get", "post", "patch", "delete")
LIMITS = {
    "minimum": "at least",
    "maximum": "at most",
    "exclusiveMinimum": "more than",
    "exclusiveMaximum": "less than",
    "minLength": "characters, at least",
    "maxLength": "characters, at most",
    "maxItems": "items, at most",
}


@pages.get("/docs")
def docs() -> str:
    """Every route with its parameters, bodies, answers and an example."""
    document = current_app.extensions[DOCUMENT]()
    groups = [
        {
            "name": tag["name"],
            "words": tag["description"],
            "routes": [
                {"method": method.upper(), "path": path, **path_item[method]}
                for path, path_item in document["paths"].items()
                for method in METHODS
                if tag["name"] in path_item.get(method, {}).get("tags", ())
            ],
        }
        for tag in document["tags"]
    ]
    return render_template(
        "docs.html",
        section="docs",
        info=document["info"],
        groups=groups,
        schemas=document["components"]["schemas"],
        kind_of=kind_of,
        name_of=name_of,
        curl=curl,
    )


def name_of(schema: Json) -> str | None:
    """The name of the schema that this one refers to, or that its members have."""
    if "$ref" in schema:
        return str(schema["$ref"].rpartition("/")[2])
    choices = [*schema.get("anyOf", []), *schema.get("oneOf", []), schema.get("items", {})]
    return next(filter(None, map(name_of, filter(None, choices))), None)


def kind_of(schema: Json) -> str:
    """What a value may be, in a few words."""
    if "$ref" in schema:
        return "object"
    if "const" in schema:
        return json.dumps(schema["const"])
    if "enum" in schema:
        return " or ".join(map(json.dumps, schema["enum"]))
    if choices := schema.get("anyOf") or schema.get("oneOf"):
        return " or ".join(dict.fromkeys(map(kind_of, choices)))
    if schema.get("type") == "array":
        return f"list of {kind_of(schema.get('items', {}))}"
    limits = [f"{words} {schema[key]:,}" for key, words in LIMITS.items() if key in schema]
    return ", ".join([str(schema.get("type", "anything")), *limits])


def curl(route: Json, body: Any = None) -> str:
    """The request as one types it."""
    path = route["path"]
    for parameter in route["parameters"]:
        if parameter["in"] == "path":
            path = path.replace(f"{{{parameter['name']}}}", parameter["example"])
    method = route["method"]
    words = ["curl", *([] if method in ("GET", "POST") else [f"-X {method}"])]
    if body is not None:
        said = json.dumps(body, ensure_ascii=False).replace("'", "'\\''")
        words += ["-H 'Content-Type: application/json'", f"-d '{said}'"]
    elif "multipart/form-data" in route.get("requestBody", {}).get("content", {}):
        words.append("-F file=@FILE")
    elif method == "POST":
        words.append("-X POST")
    return " ".join([*words, f"{request.host_url.rstrip('/')}{path}"])
