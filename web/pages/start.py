"""`/`: the form that starts a training."""

import secrets
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path, PureWindowsPath
from typing import Any

from flask import abort, render_template, request, url_for
from werkzeug.datastructures import FileStorage
from werkzeug.exceptions import Forbidden
from werkzeug.wrappers import Response

from lstmcore.errors import ConfigError, CorpusError
from web.auth import current_backend, current_owner
from web.errors import describe
from web.pages.blueprint import pages, see_other
from web.pages.fields import messages_by_field, read_config, sections
from web.pages.wording import sentence
from web.security import check_csrf
from worker import datasets, submissions
from worker.errors import InvalidInput, QuotaExceeded, Unavailable, WorkerError
from worker.records import Dataset, Job

SAMPLES = Path(__file__).parents[1] / "samples"
LONGEST_AUTOMATIC_NAME = 48
TOKEN_BYTES = 16
LONGEST_TOKEN = 64

# The form's own fields: their labels, by the ids that are their names too.
LABELS = {"text": "Your text", "file": "File", "preset": "How to read it", "name": "Name"}

PRESETS = (
    ("auto", "Choose for me", "Looks at your text and takes the recipe that suits it."),
    ("word", "Words", "Reads word by word. Good for questions and answers, chats, prose."),
    ("char", "Characters", "Writes letter by letter. Good for small texts, verse, names, code."),
    ("subword", "Word parts", "Between the two. Good for long texts and languages with endings."),
    ("tutorial", "The lesson", "Four words in, the fifth out: the smallest model there is."),
)


@dataclass(frozen=True)
class Sample:
    """A text that comes with the service."""

    name: str
    title: str
    preset: str


@pages.get("/")
def start() -> str:
    """The empty form, or filled with a sample."""
    name = request.args.get("sample", "")
    given = {"preset": "auto"}
    if any(sample.name == name for sample in samples()):
        given = {"text": sample_text(name), "preset": _preset_of(name)}
    return _render(given)


@pages.post("/")
def submit() -> Response | tuple[str, int]:
    """Store the text and start to train on it; what is wrong is shown beside its field."""
    given = request.form.to_dict()
    try:
        check_csrf()
        job = _submit(given, request.files.get("file"))
    except Forbidden:
        message = (
            "This page was open for too long, or your browser did not keep its cookie. "
            "Your text is still here: press the button once more."
        )
        return _render(given, {"": message}), 422
    except CorpusError as error:
        field = "file" if _has_file(request.files.get("file")) else "text"
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


def samples() -> list[Sample]:
    """The bundled texts, the lesson's first."""
    names = sorted(path.stem for path in SAMPLES.glob("*.txt"))
    names.sort(key=lambda name: name != "tutorial")
    return [
        Sample(name, name.replace("-", " ").replace("_", " ").capitalize(), _preset_of(name))
        for name in names
    ]


def sample_text(name: str) -> str:
    """The text of a sample that `samples` lists."""
    return (SAMPLES / f"{name}.txt").read_text(encoding="utf-8")


def _preset_of(sample: str) -> str:
    return "tutorial" if sample == "tutorial" else "auto"


def _submit(given: Mapping[str, str], file: FileStorage | None) -> Job:
    text = given.get("text", "")
    if not (text.strip() or _has_file(file)):
        message = "Paste a text, choose a file, or take one of the samples."
        raise InvalidInput(message, [{"loc": ["text"], "msg": message}])
    config, name = read_config(given), given.get("name", "").strip()
    dataset = _store(name, text, file)
    job = None
    try:
        job = submissions.submit_train(
            current_backend(),
            current_owner(),
            name=name or None,
            dataset=dataset.id,
            config=config,
            idempotency_key=_idempotency_key(given),
        )
    finally:
        # Refused, or the second click of two: then no job reads this dataset.
        if job is None or job.dataset != dataset.id:
            datasets.delete(current_backend(), current_owner(), dataset.id)
    return job


def _idempotency_key(given: Mapping[str, str]) -> str | None:
    token = given.get("token", "")
    return f"form-{token}" if token.isalnum() and len(token) <= LONGEST_TOKEN else None


def _store(name: str, text: str, file: FileStorage | None) -> Dataset:
    backend, owner = current_backend(), current_owner()
    if file is not None and _has_file(file):
        filename = _printable(PureWindowsPath(file.filename or "").name)
        return datasets.create(
            backend, owner, name=name or filename, data=file.stream.read(), filename=filename
        )
    data = text.encode("utf-8", "replace")
    return datasets.create(
        backend, owner, name=name or _name_for(text), data=data, encoding="utf-8"
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


def _render(given: Mapping[str, str], messages: Mapping[str, str] | None = None) -> str:
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
        "open_advanced": touched,
        "samples": samples(),
        # A page sent twice is one request: the same token means the same job.
        "token": secrets.token_hex(TOKEN_BYTES),
        "max_upload_bytes": settings.max_upload_bytes,
        "max_text_bytes": settings.max_body_bytes,
        "workers_online": current_backend().live.workers_online(),
    }
    return render_template("start.html", **context)
