"""`/sweeps`: several settings tried at once, and which of them learned best."""

import json
import re
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from flask import render_template, request, url_for
from werkzeug.exceptions import Forbidden
from werkzeug.wrappers import Response

from lstmcore.config import FIELD_HELP
from lstmcore.errors import ConfigError
from web.auth import current_backend, current_owner
from web.errors import describe
from web.pages.blueprint import pages, see_other
from web.pages.offers import texts
from web.pages.start import PRESETS
from web.pages.wording import label, sentence
from web.security import check_csrf
from worker import sweeps as contract
from worker.errors import InvalidInput, NotFound, QuotaExceeded, Unavailable
from worker.records import Json, Sweep, Trial
from worker.spaces import MOST_TRIALS

# What the form lets one try; everything else is there over HTTP.
TRIED = (
    ("model.hidden_dim", "64, 128, 256"),
    ("model.layers", "1, 2"),
    ("model.dropout", "0, 0.2"),
    ("training.learning_rate", "0.001 .. 0.01"),
    ("training.batch_size", "16, 32"),
)
RANGE = re.compile(r"\s*([-+.\deE]+)\s*\.\.\s*([-+.\deE]+)\s*")
LOG_FROM_RATIO = 10  # ends so far apart are drawn by their size
COMPARED = 8


@dataclass(frozen=True)
class Tried:
    """A setting that the form can vary."""

    path: str
    label: str
    help: str
    example: str

    @property
    def id(self) -> str:
        return "try-" + self.path.replace(".", "-").replace("_", "-")


@pages.get("/sweeps")
def sweep_list() -> str:
    """The owner's sweeps and the form that starts one."""
    return _render({"preset": "auto", "method": "grid", "trials": "9", "halving": "on"})


@pages.post("/sweeps")
def start_sweep() -> Response | tuple[str, int]:
    """Start a sweep; what is wrong is shown beside its field."""
    given = request.form.to_dict()
    try:
        check_csrf()
        sweep = _create(given)
    except Forbidden:
        again = "This page was open for too long. Press the button once more."
        return _render(given, {"": again}), 422
    except NotFound as error:
        return _render(given, {"dataset": sentence(str(error))}), 422
    except (ConfigError, InvalidInput, QuotaExceeded, Unavailable) as error:
        return _render(given, _messages(error)), describe(error).status
    return see_other(url_for("pages.sweep", identifier=sweep.id))


@pages.get("/sweeps/<identifier>")
def sweep(identifier: str) -> str:
    """One sweep: a table of its trials, the best first."""
    found = contract.get(current_backend(), current_owner(), identifier)
    ranked = sorted(found.trials, key=lambda trial: (-len(trial.scores), *_loss(trial)))
    return render_template(
        "sweep.html",
        sweep=found,
        ranked=ranked,
        settings=[(path, label(path.split(".")[-1])) for path in found.request["space"]],
        best=found.best["trial"] if found.best else None,
        compared=[trial.job.id for trial in ranked if trial.job][:COMPARED],
    )


@pages.post("/sweeps/<identifier>/cancel")
def cancel_sweep(identifier: str) -> Response:
    """Stop every trial."""
    check_csrf()
    contract.cancel(current_backend(), current_owner(), identifier)
    return see_other(url_for("pages.sweep", identifier=identifier))


@pages.post("/sweeps/<identifier>/delete")
def delete_sweep(identifier: str) -> Response:
    """Remove a sweep that has ended; its jobs and models stay."""
    check_csrf()
    contract.delete(current_backend(), current_owner(), identifier)
    return see_other(url_for("pages.sweep_list"))


def _render(given: Mapping[str, str], messages: Mapping[str, str] | None = None) -> str:
    page = contract.list_page(
        current_backend(), current_owner(), after=request.args.get("after") or None
    )
    return render_template(
        "sweeps.html",
        page=page,
        given=given,
        messages=messages or {},
        texts=texts(given.get("dataset", "")),
        presets=PRESETS,
        tried=[
            Tried(path, label(path.split(".")[-1]), FIELD_HELP.get(path, ""), example)
            for path, example in TRIED
        ],
        most_trials=MOST_TRIALS,
    )


def _create(given: Mapping[str, str]) -> Sweep:
    typed = {path: given.get(path, "").strip() for path, _ in TRIED}
    space = {path: _values(path, text) for path, text in typed.items() if text}
    if not given.get("dataset"):
        raise _wrong("dataset", "Choose a text.")
    if not space:
        raise _wrong("space", "Give at least one setting two or more values.")
    random = given.get("method") == "random"
    return contract.create(
        current_backend(),
        current_owner(),
        name=given.get("name", "").strip() or None,
        dataset=given["dataset"],
        config={} if given.get("preset", "auto") == "auto" else {"preset": given["preset"]},
        space=space,
        method="random" if random else "grid",
        trials=_whole("trials", given.get("trials", "")) if random else None,
        halving_factor=3 if given.get("halving") else None,
    )


def _values(path: str, text: str) -> Any:
    """`64, 128` is a list, `0.001 .. 0.01` a range."""
    try:
        if found := RANGE.fullmatch(text):
            low, high = (json.loads(end) for end in found.groups())
            log = low > 0 and high / low >= LOG_FROM_RATIO
            return {"min": low, "max": high, "scale": "log" if log else "linear"}
        return json.loads(f"[{text}]")
    except (ValueError, TypeError):
        raise _wrong(path, "Write values like 64, 128 or a range like 0.001 .. 0.01") from None


def _whole(field: str, text: str) -> int:
    try:
        return int(text)
    except ValueError:
        raise _wrong(field, f"Give a whole number from 1 to {MOST_TRIALS}.") from None


def _wrong(field: str, message: str) -> InvalidInput:
    return InvalidInput(message, [{"loc": [field], "msg": message}])


def _messages(error: Exception) -> dict[str, str]:
    """What is wrong, by the form's field; under "" what belongs to none."""
    found: dict[str, str] = {}
    known = {path for path, _ in TRIED} | {"dataset", "trials", "name", "space"}
    for one in getattr(error, "errors", []):
        places = [str(part) for part in one["loc"]]
        field = next((place for place in reversed(places) if place in known), "")
        found.setdefault(field, sentence(one["msg"]))
    return found or {"": sentence(str(error))}


def _loss(trial: Trial) -> tuple[float, int]:
    metrics: Json = trial.job.metrics if trial.job else {}
    for name in ("validation_loss", "train_loss"):
        if metrics.get(name) is not None:
            return float(metrics[name]), trial.number
    return float("inf"), trial.number
