"""Jobs of predictors that read a stored text: evaluations, and predictions for each of its lines.

They are predictions to the queue, and take turns like them. What an evaluation knows between two
turns is its checkpoint; the answers of a prediction are files of JSON Lines, kept where a training
keeps its best model, so that whatever looks after artifacts looks after them too.
"""

from collections.abc import Iterator

from lstmcore.config import parse_sampling
from lstmcore.corpus import Layout
from lstmcore.model_record import SETTINGS, parse_model_record
from worker import datasets, jobs, models, repeats, submissions
from worker.backend import Backend
from worker.errors import InvalidInput, NotFound, WrongState
from worker.naming import check_name
from worker.records import Dataset, Job, JobState, Json, Priority, StoredFile

EVALUATE = "evaluate"


def submit_evaluate(
    backend: Backend,
    owner: str,
    *,
    name: str | None,
    model: str,
    dataset: str,
    priority: Priority = Priority.NORMAL,
    idempotency_key: str | None = None,
) -> Job:
    """Accept an evaluation of a model on a text that is read as the model's own was.

    Raises NotFound, InvalidInput, QuotaExceeded.
    """
    return _submit(
        *(backend, owner, name, model, dataset),
        {"task": EVALUATE},
        words="evaluated",
        priority=priority,
        idempotency_key=idempotency_key,
    )


def layout_of(backend: Backend, owner: str, model: str) -> Layout:
    """How the text was read that a model was trained on. Raises NotFound, StoreError."""
    trained = models.get(backend, owner, model)
    return parse_model_record(models.read_bytes(backend, trained, SETTINGS)).layout


def submit_predict(
    backend: Backend,
    owner: str,
    *,
    name: str | None,
    model: str,
    dataset: str,
    sampling: Json,
    priority: Priority = Priority.NORMAL,
    idempotency_key: str | None = None,
) -> Job:
    """Accept a prediction for each line (or prompt) of a text. Raises as `submit_evaluate`."""
    return _submit(
        *(backend, owner, name, model, dataset),
        {"sampling": parse_sampling(sampling).model_dump(mode="json")},
        words="predicts",
        priority=priority,
        idempotency_key=idempotency_key,
    )


def answers(backend: Backend, owner: str, identifier: str) -> tuple[Job, Iterator[bytes]]:
    """The file of a finished prediction for a text: a line of JSON for each of its lines.

    Raises NotFound, and WrongState while it is not finished.
    """
    job = jobs.get(backend, owner, identifier)
    if job.kind != "predict" or job.dataset is None:
        raise NotFound(f"the job {identifier} has no file: its result is in the job itself")
    if job.state is not JobState.SUCCEEDED:
        raise WrongState(f"the job is {job.state}: its file is there once it succeeded", job.state)
    pieces = (piece for file in parts_of(job) for piece in backend.store.stream(file))
    return job, pieces


def parts_of(job: Job) -> list[StoredFile]:
    """The files a prediction has written so far, in order."""
    files = (job.candidate or {}).get("files", {})
    return [StoredFile(**files[name]) for name in sorted(files)]


def _submit(
    backend: Backend,
    owner: str,
    name: str | None,
    model: str,
    dataset: str,
    task: Json,
    *,
    words: str,
    priority: Priority,
    idempotency_key: str | None,
) -> Job:
    request = {"kind": "predict", "name": name, "priority": priority} | task
    try:
        trained = models.get(backend, owner, model)
        text = datasets.get(backend, owner, dataset)
    except NotFound:
        if known := repeats.of_what_is_gone(backend, owner, idempotency_key, request):
            return jobs.get(backend, owner, known)
        raise
    if task.get("task") == EVALUATE:
        _check_layouts(layout_of(backend, owner, trained.id), text)
    config: Json = {"model": trained.id, **task}
    # The text, not its id: a text inside a repeated request is another dataset each time.
    content = [text.layout, text.file.sha256]
    return submissions.accept(
        backend,
        owner,
        kind="predict",
        name=check_name(name or f"{trained.name} {words}"),
        config=config,
        dataset=text.id,
        digest=repeats.digest(request, [trained.id, *content]),
        priority=priority,
        idempotency_key=idempotency_key,
    )


def _check_layouts(wanted: Layout, text: Dataset) -> None:
    """Raise InvalidInput when a model cannot be judged on a text: lines and text are alike."""
    if wanted != text.layout and "pairs" in (wanted, text.layout):
        message = (
            f"the model was trained on {wanted}, this text is {text.layout}: store the text again "
            f"with `layout` {wanted}"
        )
        raise InvalidInput(
            f"The model cannot be judged on it: {message}.", [{"loc": ["dataset"], "msg": message}]
        )
