"""Every route is described, and does what its description says, with its own examples."""

import inspect
import io
import json
import os
import subprocess
import sys
import zipfile
from collections.abc import Iterator
from typing import Any

import jsonschema_rs
import pytest
from flask import Flask
from flask.testing import FlaskClient
from werkzeug.test import TestResponse

from tests.web.answers import TUTORIAL, import_model
from web import create_app
from web.api.shapes import DATASET_ID, JOB_ID, MODEL_ID
from web.api.sweeps import SWEEP_ID
from web.api.webhooks import WEBHOOK_ID
from web.openapi.document import SURFACES, Route, build, routes
from worker import keys, models, webhooks
from worker.backend import Backend
from worker.settings import Settings

KEY_ID = "key-0a1b2c3d4e5f60718293"
ADMIN = {"Authorization": "Bearer a-key-for-the-examples"}
# What a job must be for a route to be possible.
PREPARED = {
    "api.jobs.resume": "pause",
    "openai.jobs.resume": "pause",
    "api.jobs.delete": "cancel",
    "api.datasets.delete": "cancel",
    "openai.files.delete": "cancel",
}

# Routes of a job with a file.
FINISHED = ("api.jobs.download",)


@pytest.fixture
def app(settings: Settings) -> Iterator[Flask]:
    changes = {"max_active_jobs": 0, "api_keys": {"local": "a-key-for-the-examples"}}
    built = create_app(settings.model_copy(update=changes))
    yield built
    built.extensions["lstmq"].close()


@pytest.fixture
def document(app: Flask) -> dict[str, Any]:
    return build(app)


@pytest.fixture
def predictor(settings: Settings) -> Iterator[None]:
    """A real one, since some examples are predictions."""
    words = "-q -A worker worker -Q predict --pool solo -n predict@test --without-gossip"
    environment = os.environ | {
        "LSTMQ_DATA_DIR": str(settings.data_dir),
        "LSTMQ_REDIS_URL": settings.redis_url,
    }
    process = subprocess.Popen(
        [sys.executable, "-m", "celery", *words.split(), "--without-mingle"], env=environment
    )
    yield
    process.terminate()
    process.wait(timeout=30)


def test_every_route_of_the_api_is_described(app: Flask) -> None:
    silent = [
        rule.endpoint
        for rule in app.url_map.iter_rules()
        if rule.endpoint.startswith(SURFACES)
        and not hasattr(app.view_functions[rule.endpoint], "operation")
    ]
    assert silent == [], "say with @describes what these take and answer"


def test_what_a_view_reads_is_described(app: Flask) -> None:
    for route in routes(app):
        source = inspect.getsource(route.view)
        assert ("read_query(" in source) <= (route.operation.query is not None), route.rule
        assert ("read_body(" in source) <= (route.operation.body is not None), route.rule
        assert ("read_form(" in source) <= (route.operation.form is not None), route.rule
        assert ("idempotency_key(" in source) <= ("Idempotency-Key" in route.operation.headers)


def test_every_field_has_a_description_and_an_example(document: dict[str, Any]) -> None:
    silent = []
    for path, item in document["paths"].items():
        for method, operation in item.items():
            assert operation["summary"], (method, path)
            for parameter in operation["parameters"]:
                if not parameter["description"]:
                    silent.append(f"{method} {path}: {parameter['name']}")
    for name, schema in document["components"]["schemas"].items():
        if not schema.get("description") and "enum" not in schema:
            silent.append(name)
        for field, value in schema.get("properties", {}).items():
            if not value.get("description"):
                silent.append(f"{name}.{field}: a description")
            told = "examples" in value or "$ref" in str(value) or name.startswith("Asked")
            if not told and field != "after":  # the `next` of another answer
                silent.append(f"{name}.{field}: an example")
    assert silent == []


def test_the_examples_of_fields_fit_them(document: dict[str, Any]) -> None:
    for name, schema in document["components"]["schemas"].items():
        for field, value in schema.get("properties", {}).items():
            for example in value.get("examples", []):
                problem = complaint(document, value, example)
                assert problem is None, f"{name}.{field}: {problem}"


def test_examples_of_answers_fit_their_schemas(document: dict[str, Any]) -> None:
    for item in document["paths"].values():
        for operation in item.values():
            for answer in operation["responses"].values():
                for content in answer.get("content", {}).values():
                    if "example" in content and "schema" in content:
                        assert complaint(document, content["schema"], content["example"]) is None


def test_every_example_works_and_is_answered_as_described(
    app: Flask,
    backend: Backend,
    document: dict[str, Any],
    predictor: None,
    model_files: dict[str, bytes],
) -> None:
    client = app.test_client()
    client.environ_base["HTTP_AUTHORIZATION"] = ADMIN["Authorization"]
    ids: dict[str, str] = {}
    for route in sorted(routes(app), key=lambda route: route.method != "GET"):
        operation = document["paths"][route.path][route.method.lower()]
        for body in bodies(operation):
            for model in models.list_page(backend, "local", name="greetings").data:
                models.delete(backend, "local", model.id)
            for webhook in webhooks.list_page(backend, "local", limit=100).data[1:]:
                webhooks.delete(backend, "local", webhook.id)
            if route.method != "GET" or route.rule.endpoint in FINISHED or not ids:
                ids = records(client, backend, model_files, route)
            response = send(client, route, operation, body, ids, model_files)
            if route.rule.endpoint in FINISHED:
                ids = {}  # the others are about a training
            if (route.path, response.status_code) == ("/readyz", 503):
                continue  # no training worker is here
            assert response.status_code < 400, (route.path, body, response.text)
            assert_described(document, operation, response)


def records(
    client: FlaskClient, backend: Backend, files: dict[str, bytes], route: Route
) -> dict[str, str]:
    """Fresh records that the ids of the examples stand for."""
    dataset = client.post("/api/v1/datasets", json={"name": "lesson", "text": TUTORIAL}).json["id"]
    body = {"kind": "train", "dataset": dataset, "config": {"preset": "tutorial"}}
    job = client.post("/api/v1/jobs", json=body).json["id"]
    if verb := PREPARED.get(route.rule.endpoint):
        assert client.post(f"/api/v1/jobs/{job}/{verb}").status_code == 200
    model = import_model(backend, "local", "lesson", files)
    if route.rule.endpoint in FINISHED:
        body = {"kind": "predict", "model": model.id, "dataset": dataset}
        answer = client.post("/api/v1/jobs", json=body, headers={"Prefer": "wait=60"})
        assert answer.status_code == 200, answer.text
        job = answer.json["id"]
    space = {"text": TUTORIAL, "space": {"model.hidden_dim": [8]}}
    sweep = client.post("/api/v1/sweeps", json=space).json["id"]
    if route.rule.endpoint == "api.sweeps.delete":
        assert client.post(f"/api/v1/sweeps/{sweep}/cancel").status_code == 200
    hook = client.post("/api/v1/webhooks", json={"url": "https://example.com"}).json["id"]
    key, _ = keys.create(backend, owner="local")
    made = {SWEEP_ID: sweep, WEBHOOK_ID: hook, KEY_ID: key.id}
    return made | {DATASET_ID: dataset, JOB_ID: job, MODEL_ID: model.id}


def bodies(operation: dict[str, Any]) -> Iterator[tuple[str, Any]]:
    """Every example of a request's body, once for a request without one."""
    content = operation.get("requestBody", {}).get("content", {})
    if not content:
        yield "", None
    for example in content.get("application/json", {}).get("examples", {}).values():
        yield "json", example["value"]
    if "multipart/form-data" in content:
        yield "form", content["multipart/form-data"]["schema"]["properties"]


def send(
    client: FlaskClient,
    route: Route,
    operation: dict[str, Any],
    body: tuple[str, Any],
    ids: dict[str, str],
    files: dict[str, bytes],
) -> TestResponse:
    """The request as its example has it, of the records that are there."""
    path, query, headers = parameters(route.path, operation, ids)
    kind, value = body
    parts: dict[str, Any] = {}
    if kind == "json":
        parts["json"] = real(value, ids)
    elif kind == "form":
        fields = {name: field["examples"][0] for name, field in value.items() if name != "file"}
        content = zipped(files) if "models" in path else TUTORIAL.encode()
        parts["data"] = fields | {"file": (io.BytesIO(content), "lesson.txt")}
    return client.open(
        path, method=route.method, query_string=query, headers=headers, buffered=True, **parts
    )


def parameters(
    path: str, operation: dict[str, Any], ids: dict[str, str]
) -> tuple[str, dict[str, Any], dict[str, str]]:
    """Path, query and headers, each parameter at its example."""
    query: dict[str, Any] = {}
    headers: dict[str, str] = {}
    for parameter in operation["parameters"]:
        name, example = parameter["name"], real(parameter.get("example"), ids)
        if parameter["in"] == "path":
            path = path.replace(f"{{{name}}}", example)
        elif parameter["in"] == "header":
            headers[name] = example
        elif "example" in parameter:
            query[name] = example
    if "jobs" in path:
        headers.pop("Prefer", None)  # nobody trains here
    if "Idempotency-Key" in headers:
        headers["Idempotency-Key"] += ids[JOB_ID]
    return path, query, headers


def real(value: Any, ids: dict[str, str]) -> Any:
    """An example with the ids of the records that are there."""
    text = json.dumps(value)
    for example, identifier in ids.items():
        text = text.replace(example.partition("-")[2], identifier.partition("-")[2])
    return json.loads(text)


def zipped(files: dict[str, bytes]) -> bytes:
    packed = io.BytesIO()
    with zipfile.ZipFile(packed, "w") as archive:
        for name, data in files.items():
            archive.writestr(name, data)
    return packed.getvalue()


def assert_described(
    document: dict[str, Any], operation: dict[str, Any], response: TestResponse
) -> None:
    said = operation["responses"].get(str(response.status_code))
    assert said is not None, (operation["operationId"], response.status_code)
    if "content" not in said:
        return
    assert response.mimetype in said["content"], (operation["operationId"], response.mimetype)
    if response.mimetype == "application/json":
        schema = said["content"]["application/json"]["schema"]
        assert complaint(document, schema, response.json) is None, operation["operationId"]


def complaint(document: dict[str, Any], schema: dict[str, Any], value: Any) -> str | None:
    """What a schema of the document has against a value."""
    whole = schema | {"components": document["components"]}
    error = next(iter(jsonschema_rs.validator_for(whole).iter_errors(value)), None)
    return None if error is None else f"{error.message} at {error.instance_path}"
