"""What the form can start from: samples, texts from before, models to go on from, other jobs."""

import copy
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path

from lstmcore.config import resolve_config
from lstmcore.corpus import CorpusSummary
from lstmcore.errors import LSTMError
from web.auth import current_backend, current_owner
from web.pages.fields import form_values
from worker import datasets, models, submissions
from worker.errors import NotFound
from worker.records import Dataset, Job, Json, Model

SAMPLES = Path(__file__).parents[1] / "samples"
MOST_OFFERED = 50


@dataclass(frozen=True)
class Sample:
    """A text that comes with the service."""

    name: str
    title: str
    preset: str


def samples() -> list[Sample]:
    """The bundled texts, the lesson's first."""
    names = sorted(path.stem for path in SAMPLES.glob("*.txt"))
    names.sort(key=lambda name: name != "tutorial")
    return [
        Sample(name, name.replace("-", " ").replace("_", " ").capitalize(), preset_of(name))
        for name in names
    ]


def sample_text(name: str) -> str:
    """The text of a sample that `samples` lists."""
    return (SAMPLES / f"{name}.txt").read_text(encoding="utf-8")


def preset_of(sample: str) -> str:
    """The recipe that the form chooses with a sample."""
    return "tutorial" if sample == "tutorial" else "auto"


def values_like(job: Job) -> dict[str, str]:
    """The form that makes a job like this one: only what its text would not choose is filled in."""
    given: dict[str, str] = {"name": job.name, "dataset": job.dataset or ""}
    given["priority"] = str(job.priority)
    try:
        dataset = datasets.get(current_backend(), current_owner(), given["dataset"])
        asked = _shortest(job.config, datasets.summary_of(dataset))
    except (NotFound, LSTMError):
        return given | {"dataset": ""} | form_values(job.config)
    return given | form_values(asked)


def _shortest(config: Json, summary: CorpusSummary) -> Json:
    """The fewest settings that make this configuration out of a text."""

    def makes_it(asked: Json) -> bool:
        whole = submissions.continued(current_backend(), current_owner(), asked)
        return resolve_config(whole, summary).model_dump(mode="json") == config

    asked = copy.deepcopy(config)
    for section, values in config.items():
        for name in values if isinstance(values, dict) else ():
            value = asked[section].pop(name)
            if not makes_it(asked):
                asked[section][name] = value
    return asked


def texts(chosen: str) -> list[Dataset]:
    """The newest texts, each once however often it was sent, and the one that is chosen."""
    backend, owner = current_backend(), current_owner()
    found = datasets.list_page(backend, owner, limit=MOST_OFFERED).data
    if chosen and all(dataset.id != chosen for dataset in found):
        with suppress(NotFound):
            found.append(datasets.get(backend, owner, chosen))
    found.sort(key=lambda dataset: dataset.id != chosen)  # stable: the newest stay first
    once: dict[str, Dataset] = {}
    for dataset in found:
        once.setdefault(dataset.file.sha256, dataset)
    return sorted(once.values(), key=lambda dataset: -dataset.created_at)


def parents(chosen: str) -> list[Model]:
    """The newest models that a training can go on from, and the one that is chosen."""
    backend, owner = current_backend(), current_owner()
    found = models.list_page(backend, owner, limit=MOST_OFFERED).data
    if chosen and all(model.id != chosen for model in found):
        with suppress(NotFound):
            found.append(models.get(backend, owner, chosen))
    return [model for model in found if model.config.get("preset") != "tutorial"]
