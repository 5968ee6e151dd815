"""One turn of a job that reads a stored text: a few seconds of it, then it is others' turn.

What a turn found is published by the same fence as a training's slice, so a killed predictor costs
one turn. What is in memory of the job one worked on last need not be loaded for the next turn.
"""

import json
import time
from collections.abc import Callable, Sequence
from dataclasses import asdict, dataclass, field
from typing import Protocol

from lstmcore.config import Sampling, parse_sampling
from lstmcore.corpus import Corpus
from lstmcore.errors import LSTMError
from lstmcore.sampling import LanguageModel
from lstmcore.scoring import Evaluating
from lstmcore.together import generate_many
from worker import datasets, leases
from worker.backend import Backend
from worker.errors import Damaged, NotFound
from worker.keeping import LeaseKeeper
from worker.readings import EVALUATE, parts_of
from worker.records import Dataset, Job, JobState, Json, Progress, StoredFile
from worker.release import understood

TURN_SECONDS = 2.0
SIDE_BY_SIDE = 16  # prompts continued together
# Answers of a turn go into the file of the turn before until that is so large.
PART_BYTES = 2**20


class Asked(Protocol):
    """A job's kind of work, opened where its last turn ended."""

    @property
    def done(self) -> int:
        """Steps done: tokens scored, or prompts continued."""

    @property
    def total(self) -> int | None:
        """Steps to do, if that is known."""

    def advance(self, keeper: LeaseKeeper) -> bool:
        """Do a little; False when everything is done, or nothing more may be."""

    def publication(self, claim: leases.Claim, *, finished: bool) -> leases.Publication:
        """Store what was found; what this turn makes true."""


@dataclass
class Kept:
    """What is in memory of the last turn, in case the next one comes here."""

    job: str = ""
    slices: int = -1
    work: Asked | None = None


@dataclass
class Turns:
    """Runs turns in one predictor."""

    backend: Backend
    worker: str
    alive: Callable[[], None] = lambda: None  # called at every step
    kept: Kept = field(default_factory=Kept)

    def run(self, claim: leases.Claim, load: Callable[[str], LanguageModel]) -> Job:
        """Work on a job for one turn and publish it. Raises LeaseLost, StoreError."""
        job = claim.job
        with LeaseKeeper(self.backend, claim, self.worker) as keeper:
            try:
                work = self._open(job, load)
                finished = self._work(work, keeper)
                keeper.settle()
                publication = work.publication(claim, finished=finished)
            except (LSTMError, NotFound, Damaged) as error:
                problem = {"code": type(error).__name__, "message": str(error)}
                publication = leases.Publication(
                    state=JobState.FAILED, progress=job.progress, error=problem
                )
                keeper.settle()
            published = leases.publish(self.backend, claim, publication)
        going_on = published.state is JobState.RUNNING
        self.kept = Kept(job.id, published.slices, work) if going_on else Kept()
        self._forget(job, published)
        return published

    def _open(self, job: Job, load: Callable[[str], LanguageModel]) -> Asked:
        if (self.kept.job, self.kept.slices) == (job.id, job.slices) and self.kept.work:
            return self.kept.work
        text = datasets.get(self.backend, job.owner, job.dataset or "")
        opened: type[Evaluation] | type[Batch] = (
            Evaluation if job.config.get("task") == EVALUATE else Batch
        )
        return opened(self.backend, job, text, load(job.config["model"]))

    def _work(self, work: Asked, keeper: LeaseKeeper) -> bool:
        ends_at = time.monotonic() + TURN_SECONDS
        while work.advance(keeper):
            self.alive()
            keeper.report(Progress(step=work.done, total_steps=work.total), {})
            if keeper.should_stop or time.monotonic() > ends_at:
                return False
        return not keeper.should_stop

    def _forget(self, before: Job, now: Job) -> None:
        """Remove the files that the published turn has replaced."""
        files = (*parts_of(now), now.checkpoint, now.previous_checkpoint)
        needed = {file.key for file in files if file}
        old = (*parts_of(before), before.previous_checkpoint)
        self.backend.store.delete(*(file for file in old if file and file.key not in needed))


class Evaluation:
    """How well a model expects a text."""

    def __init__(self, backend: Backend, job: Job, text: Dataset, model: LanguageModel) -> None:
        self._backend = backend
        corpus = _in_layout(datasets.load_corpus(backend, text), model)
        saved = backend.store.read(job.checkpoint) if job.checkpoint else None
        self._evaluating = Evaluating(model, corpus, saved)
        self.total: int | None = None

    @property
    def done(self) -> int:
        """Tokens scored so far."""
        return self._evaluating.tokens

    def advance(self, keeper: LeaseKeeper) -> bool:
        """Read a little more."""
        return not keeper.should_stop and self._evaluating.advance()

    def publication(self, claim: leases.Claim, *, finished: bool) -> leases.Publication:
        """The measures, or where the next turn goes on."""
        job, tokens = claim.job, self._evaluating.tokens
        if finished:
            found = self._evaluating.result()
            result = {
                "model": job.config["model"],
                "loss": found.loss,
                "perplexity": found.perplexity,
                "tokens": found.tokens,
                "unknown_share": found.unknown / max(1, found.tokens),
            }
            progress = Progress(step=tokens, total_steps=tokens)
            return leases.Publication(JobState.SUCCEEDED, progress, result=result)
        name = f"checkpoints/{job.id}/{job.slices + 1}-{claim.epoch}.safetensors"
        return leases.Publication(
            JobState.RUNNING,
            Progress(step=tokens),
            checkpoint=self._backend.store.put(name, self._evaluating.save()),
            went_on_from=job.checkpoint,
        )


class Batch:
    """A continuation for each line of a text."""

    def __init__(self, backend: Backend, job: Job, text: Dataset, model: LanguageModel) -> None:
        self._backend, self._model = backend, model
        self._prompts = _prompts(datasets.load_corpus(backend, text))
        self._sampling = understood(parse_sampling, job.config["sampling"])
        self.total: int | None = len(self._prompts)
        self.done = job.progress.step
        self._found: list[bytes] = []

    def advance(self, keeper: LeaseKeeper) -> bool:
        """Continue a few prompts side by side."""
        prompts = self._prompts[self.done : self.done + SIDE_BY_SIDE]
        if not prompts or keeper.should_stop:
            return False
        samplings = [_nth(self._sampling, self.done + place) for place in range(len(prompts))]
        found = generate_many(
            self._model, prompts, samplings, should_stop=lambda: keeper.should_stop
        )
        if keeper.should_stop:
            return False  # half a text is no answer
        for place, (prompt, answer) in enumerate(zip(prompts, found, strict=True)):
            line: Json = {"index": self.done + place, "prompt": prompt, **answer}
            self._found.append(json.dumps(line, ensure_ascii=False).encode() + b"\n")
        self.done += len(prompts)
        return True

    def publication(self, claim: leases.Claim, *, finished: bool) -> leases.Publication:
        """The answers so far."""
        job, files = claim.job, parts_of(claim.job)
        if self._found:
            text = b"".join(self._found)
            if files and files[-1].bytes < PART_BYTES:
                text = self._backend.store.read(files.pop()) + text
            name = f"models/{job.id}/{job.slices + 1}-{claim.epoch}/answers.jsonl"
            files.append(self._backend.store.put(name, text))
            self._found = []
        progress = Progress(step=self.done, total_steps=self.total)
        result = {
            "model": job.config["model"],
            "prompts": self.done,
            "bytes": sum(file.bytes for file in files),
            "download": f"/api/v1/jobs/{job.id}/download",
        }
        return leases.Publication(
            JobState.SUCCEEDED if finished else JobState.RUNNING,
            progress,
            candidate=_named(files),
            result=result if finished else None,
        )


def _named(files: Sequence[StoredFile]) -> Json:
    """Files as the record keeps them, each under its place."""
    named = {f"{place:06}.jsonl": asdict(file) for place, file in enumerate(files)}
    return {"step": 0, "metrics": {}, "files": named}


def _nth(sampling: Sampling, place: int) -> Sampling:
    """With a seed, each line has one of its own, the same in every run."""
    if sampling.seed is None:
        return sampling
    return sampling.model_copy(update={"seed": (sampling.seed + place) % 2**53})


def _prompts(corpus: Corpus) -> list[str]:
    """The lines of a text; of pairs, the prompts."""
    if corpus.layout == "text":
        return [line for line in corpus.documents[0].split("\n") if line.strip()]
    return list(corpus.documents)


def _in_layout(corpus: Corpus, model: LanguageModel) -> Corpus:
    """A text as a model of that kind reads it: lines and text are the same bytes."""
    if "pairs" in (corpus.layout, model.layout) or corpus.layout == model.layout:
        return corpus
    return Corpus.from_bytes(model.layout, corpus.to_bytes())
