"""`/`: the form that starts a training."""

import secrets
from collections.abc import Mapping
from functools import partial
from pathlib import PureWindowsPath
from typing import Any

from flask import abort, render_template, request, url_for
from werkzeug.datastructures import FileStorage
from werkzeug.exceptions import Forbidden
from werkzeug.wrappers import Response

from lstmcore.config import FIELD_HELP
from lstmcore.errors import ConfigError, CorpusError
from web.api.submitting import on_stored
from web.auth import current_backend, current_owner
from web.errors import describe
from web.pages.blueprint import pages, see_other
from web.pages.fields import messages_by_field, read_config, sections
from web.pages.offers import parents, preset_of, sample_text, samples, texts, values_like
from web.pages.wording import sentence
from web.security import check_csrf
from worker import datasets, jobs, models, submissions
from worker.errors import InvalidInput, NotFound, QuotaExceeded, Unavailable, WorkerError
from worker.records import Dataset, Job, Json, Priority

LONGEST_AUTOMATIC_NAME = 48
TOKEN_BYTES = 16
LONGEST_TOKEN = 64

# The form's own fields: their labels, by the ids that are their names too.
LABELS = {
    "text": "Your text",
    "file": "File",
    "dataset": "Text from before",
    "preset": "How to read it",
    "init_from": "Go on from",
    "priority": "Priority",
    "name": "Name",
}

PRESETS = (
    ("auto", "Choose for me", "Looks at your text and takes the recipe that suits it."),
    ("word", "Words", "Word by word: questions and answers, chats, prose."),
    ("char", "Letters", "Letter by letter: small texts, verse, names, code."),
    ("subword", "Word parts", "Between the two: long texts, languages with endings."),
    ("tutorial", "The lesson", "Four words in, the fifth out: the smallest model."),
)


@pages.get("/")
def start() -> str:
    """The form: empty, with a sample, going on from a model, or with the settings of a job."""
    given: dict[str, str] = {"preset": "auto"}
    name = request.args.get("sample", "")
    if any(sample.name == name for sample in samples()):
        given = {"text": sample_text(name), "preset": preset_of(name)}
    if parent := request.args.get("init_from"):
        given["init_from"] = models.get(current_backend(), current_owner(), parent).id
    origin = None
    if identifier := request.args.get("from"):
        origin = jobs.get(current_backend(), current_owner(), identifier)
        given = values_like(origin)
    return _render(given, origin=origin)


@pages.post("/")
def submit() -> Response | tuple[str, int]:
    """Store the text and start to train on it; what is wrong is shown beside its field."""
    given, file = request.form.to_dict(), request.files.get("file")
    try:
        check_csrf()
        job = _submit(given, file)
    except Forbidden:
        again = "Your text is still here: press the button once more."
        if _has_file(file):
            again = "Choose the file once more, then press the button again."
        message = (
            "This page was open for too long, or your browser did not keep its cookie. " + again
        )
        return _render(given, {"": message}), 422
    except CorpusError as error:
        field = "file" if _has_file(file) else "dataset" if given.get("dataset") else "text"
        return _render(given, {field: sentence(str(error))}), 422
    except (ConfigError, InvalidInput, QuotaExceeded, Unavailable) as error:
        return _render(given, _messages(error)), describe(error).status
    return see_other(url_for("pages.job", identifier=job.id))


@pages.get("/samples/<name>.txt")
def sample_file(name: str) -> Response:
    """A sample as plain text, for the button that fills it in."""
    if not any(sample.name == name for sample in samples()):
        abort(404)
    return Response(sample_text(name), mimetype="text/plain")


def _submit(given: Mapping[str, str], file: FileStorage | None) -> Job:
    text, stored = given.get("text", ""), given.get("dataset", "")
    if not (text.strip() or stored or _has_file(file)):
        message = "Paste a text, choose a file, or take one of the samples."
        raise InvalidInput(message, [{"loc": ["text"], "msg": message}])
    config, name = read_config(given), given.get("name", "").strip()
    if stored and not _has_file(file):
        return _train(given, name or None, stored, config)
    train = partial(_train, given, name or None, config=config)
    return on_stored(train, _store(name, text, file))


def _train(given: Mapping[str, str], name: str | None, dataset: str, config: Json) -> Job:
    try:
        return submissions.submit_train(
            current_backend(),
            current_owner(),
            name=name,
            dataset=dataset,
            config=config,
            priority=_priority(given),
            idempotency_key=_idempotency_key(given),
        )
    except NotFound as error:  # removed since the page was made
        place = "dataset" if dataset in str(error) else "init_from"
        message = sentence(str(error))
        raise InvalidInput(message, [{"loc": [place], "msg": message}]) from error


def _priority(given: Mapping[str, str]) -> Priority:
    try:
        return Priority(given.get("priority") or Priority.NORMAL)
    except ValueError:
        message = f"Choose {', '.join(Priority)}."
        raise InvalidInput(message, [{"loc": ["priority"], "msg": message}]) from None


def _idempotency_key(given: Mapping[str, str]) -> str | None:
    token = given.get("token", "")
    return f"form-{token}" if token.isalnum() and len(token) <= LONGEST_TOKEN else None


def _store(name: str, text: str, file: FileStorage | None) -> Dataset:
    backend, owner = current_backend(), current_owner()
    if file is not None and _has_file(file):
        filename = _printable(PureWindowsPath(file.filename or "").name)
        return datasets.create(
            backend, owner, name=name or filename, data=file.stream, filename=filename
        )
    data = text.encode("utf-8", "replace")
    return datasets.create(
        backend,
        owner,
        name=name or _name_for(text),
        data=data,
        encoding="utf-8",
        came_with_job=True,
    )


def _has_file(file: FileStorage | None) -> bool:
    return file is not None and bool(file.filename)


def _name_for(text: str) -> str:
    """The first line of a text, or its first words, as a name for what is learned from it."""
    start = text.strip()[: 4 * LONGEST_AUTOMATIC_NAME]
    words = _printable(start.splitlines()[0]).split()
    name = ""
    for word in words:
        if name and len(name) + 1 + len(word) > LONGEST_AUTOMATIC_NAME:
            return f"{name} …"
        name = f"{name} {word}".strip()[:LONGEST_AUTOMATIC_NAME]
    return name or "My text"


def _printable(text: str) -> str:
    return "".join(char if char.isprintable() else " " for char in text).strip()


def _messages(error: ConfigError | WorkerError) -> dict[str, str]:
    """What to show, by field; "" for what belongs to none of them."""
    found = messages_by_field(error.errors) if isinstance(error, ConfigError | InvalidInput) else {}
    advanced = {field.name for section in sections({}, {}) for field in section.fields}
    known = LABELS.keys() | advanced
    return found if found and found.keys() <= known else found | {"": sentence(str(error))}


def _render(
    given: Mapping[str, str],
    messages: Mapping[str, str] | None = None,
    origin: Job | None = None,
) -> str:
    messages = messages or {}
    settings = current_backend().settings
    groups = sections(given, messages)
    touched = any(field.value or field.message for group in groups for field in group.fields)
    problems = [
        {"id": name, "label": label, "message": messages[name]}
        for name, label in LABELS.items()
        if name in messages
    ]
    problems += [
        {"id": field.id, "label": field.label, "message": field.message}
        for group in groups
        for field in group.fields
        if field.message
    ]
    context: dict[str, Any] = {
        "given": given,
        "messages": messages,
        "problems": problems,
        "presets": PRESETS,
        "preset": given.get("preset", "auto"),
        "sections": groups,
        "help": FIELD_HELP,
        "open_advanced": touched
        or bool(given.get("init_from"))
        or given.get("priority", "normal") != "normal",
        "priorities": [str(priority) for priority in Priority],
        "samples": samples(),
        "stored": texts(given.get("dataset", "")),
        "parents": parents(given.get("init_from", "")),
        "origin": origin,
        # A page sent twice is one request: the same token means the same job.
        "token": secrets.token_hex(TOKEN_BYTES),
        "max_upload_bytes": settings.max_upload_bytes,
        "max_text_bytes": settings.max_body_bytes,
        "workers_online": current_backend().live.workers_online(),
    }
    return render_template("start.html", **context)
