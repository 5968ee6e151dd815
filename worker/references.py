"""Which artifacts the records point at: these are kept, verified and backed up."""

from dataclasses import dataclass

import sqlalchemy as sa

from worker.database import datasets, jobs, models
from worker.records import StoredFile


@dataclass(frozen=True)
class Reference:
    """One artifact and the record that needs it."""

    record: str  # id of the dataset, job or model
    role: str  # "text", "checkpoint", "previous checkpoint", "model"
    file: StoredFile


def references(connection: sa.Connection) -> dict[str, Reference]:
    """Every artifact that a record points at, by its key.

    Jobs are read before models: files only move from a job's candidate to a model, so that a finish
    in between is seen once or twice, and never not at all.
    """
    found: dict[str, Reference] = {}

    def add(record: str, role: str, value: "dict[str, object] | None") -> None:
        if value:
            file = StoredFile(**value)  # type: ignore[arg-type]
            found[file.key] = Reference(record, role, file)

    columns = (jobs.c.id, jobs.c.checkpoint, jobs.c.previous_checkpoint, jobs.c.candidate)
    for row in connection.execute(sa.select(*columns)):
        add(row.id, "checkpoint", row.checkpoint)
        add(row.id, "previous checkpoint", row.previous_checkpoint)
        for file in (row.candidate or {}).get("files", {}).values():
            add(row.id, "model", file)
    for model in connection.execute(sa.select(models.c.id, models.c.files)):
        for file in model.files.values():
            add(model.id, "model", file)
    for text in connection.execute(sa.select(datasets.c.id, datasets.c.file)):
        add(text.id, "text", text.file)
    return found


def held_slices(connection: sa.Connection) -> set[tuple[str, str]]:
    """(job, "slice-epoch") of every slice that may still be published, as artifacts name it."""
    query = sa.select(jobs.c.id, jobs.c.slices, jobs.c.lease_epoch)
    rows = connection.execute(query.where(jobs.c.lease_until.is_not(None)))
    return {(row.id, f"{row.slices + 1}-{row.lease_epoch}") for row in rows}
