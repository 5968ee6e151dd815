"""`/compare`: several trainings side by side: curves, settings that differ, figures, one prompt."""

from dataclasses import dataclass
from typing import Any

from flask import render_template, request

from web.auth import current_backend, current_owner
from web.pages.blueprint import pages
from web.pages.story import Story, tell, thinned
from worker import datasets, watching
from worker import jobs as contract
from worker.errors import NotFound
from worker.records import Job, Json

MOST = 8
OFFERED = 30
POINTS = 240  # of each curve
SHARED_SECTIONS = ("tokenizer", "model", "training")


@dataclass(frozen=True)
class Side:
    """One of the trainings that are compared."""

    number: int  # its place, from 1, and its colour
    job: Job
    story: Story
    text: str  # the name of what it learned from
    checksum: str  # of that text

    @property
    def model(self) -> str | None:
        """The model it left, if it left one."""
        return (self.job.result or {}).get("model")

    @property
    def speed(self) -> float | None:
        """Tokens a second over all its slices."""
        tokens = sum(event.data.get("tokens") or 0 for event in self.story.slices)
        seconds = sum(event.data.get("seconds") or 0.0 for event in self.story.slices)
        return tokens / seconds if tokens and seconds else self.job.progress.tokens_per_second


@pages.get("/compare")
def compare() -> str:
    """The trainings that the address names (`?job=…&job=…`), and others to choose."""
    wanted = list(dict.fromkeys(request.args.getlist("job")))
    backend, owner = current_backend(), current_owner()
    found = watching.records(backend, wanted[:MOST], owner=owner)
    chosen = [found[name] for name in wanted if name in found and found[name].kind == "train"]
    sides = [_side(number, job) for number, job in enumerate(chosen, start=1)]
    offered = contract.list_page(backend, owner, kind="train", limit=OFFERED).data
    offered += [job for job in chosen if job.id not in {other.id for other in offered}]
    return render_template(
        "compare.html",
        sides=sides,
        offered=offered,
        left_out=len(wanted) - len(sides),
        most=MOST,
        differing=_differing(chosen),
        cut_alike=len({str(job.config.get("tokenizer")) for job in chosen}) <= 1,
        texts_alike=len({side.checksum for side in sides}) <= 1,
        unfinished=any(not job.state.final for job in chosen),
        curves=[
            {
                "label": side.job.name,
                "colour": f"--line-{side.number}",
                "curve": thinned(side.story.curve, POINTS),
                "model": side.model,
            }
            for side in sides
        ],
    )


def _side(number: int, job: Job) -> Side:
    try:
        text = datasets.get(current_backend(), job.owner, job.dataset or "")
    except NotFound:
        return Side(number, job, tell(job.id), "", "")
    return Side(number, job, tell(job.id), text.name, text.file.sha256)


def _differing(jobs: list[Job]) -> list[tuple[str, list[Any]]]:
    """Settings that all have and that are not the same in all."""
    flat = [_flat(job.config) for job in jobs]
    names = [name for name in (flat[0] if flat else ()) if all(name in config for config in flat)]
    rows = [(name, [config[name] for config in flat]) for name in names]
    return [(name, values) for name, values in rows if any(one != values[0] for one in values)]


def _flat(config: Json) -> Json:
    flat: Json = {"preset": config.get("preset"), "init_from": config.get("init_from")}
    for section in SHARED_SECTIONS:
        flat |= {f"{section}.{name}": value for name, value in config.get(section, {}).items()}
    return flat
