"""One slice of a training: (job, checkpoint n) → checkpoint n + 1.

A slice claims nothing and publishes nothing by itself: `tasks` hands it a claim, `leases.publish`
makes its result true. What it writes lies under names that carry the slice and the lease epoch, so
two workers that both believe they hold the job never touch the same file.
"""

import contextlib
import logging
import shutil
import tempfile
import time
from collections import OrderedDict
from collections.abc import Iterator
from dataclasses import asdict, dataclass
from pathlib import Path

import torch
from safetensors import SafetensorError

from lstmcore.config import parse_config
from lstmcore.corpus import Corpus
from lstmcore.encoding import trim_cache
from lstmcore.errors import CheckpointError, LSTMError, NewerFormat
from lstmcore.model_record import FILES
from lstmcore.sampling import LanguageModel, load_model
from lstmcore.training import Trainer
from worker import cores, datasets, leases, models, scheduling, shutdown
from worker.backend import Backend
from worker.beats import Heart
from worker.errors import Damaged, OtherVersion, StoreError
from worker.keeping import LeaseKeeper
from worker.meter import Meter, Pace
from worker.records import Job, JobState, Json, StoredFile
from worker.release import understood

log = logging.getLogger(__name__)

# Saving may take this share of the time at most: slices stretch when a checkpoint is expensive.
SLICES_PER_SAVE_COST = 50
MOST_LIVE_TRAINERS = 3
# Token ids of texts from this size are kept on this machine's disk between the slices of a job.
CACHED_BYTES = 1024 * 1024
MOST_CACHED_BYTES = 4 * 1024**3
# The store should have room for so many checkpoints before a slice begins: its own and a model.
ROOM_IN_CHECKPOINTS = 3


@dataclass
class LiveTrainer:
    """A trainer kept in memory between the slices of its job."""

    trainer: Trainer
    slices: int  # published when it was kept: it must be the newest
    checkpoint: StoredFile | None  # the published one that it goes on from
    save_seconds: float = 0.0
    seconds_a_step: float | None = None


class SliceRunner:
    """Runs slices in one process, one at a time."""

    def __init__(self, backend: Backend, worker: str, heart: Heart | None = None) -> None:
        self._backend, self._worker, self._heart = backend, worker, heart or Heart()
        self._live: OrderedDict[str, LiveTrainer] = OrderedDict()

    def run(self, claim: leases.Claim) -> Job:
        """Train for about a slice and publish it; the record afterwards.

        Raises LeaseLost when the job was taken away meanwhile, and whatever made it fail.
        """
        folder = Path(tempfile.mkdtemp(prefix="lstmq-slice-"))
        torch.set_num_threads(cores.threads(self._backend.settings.threads, self._backend.live))
        try:
            with LeaseKeeper(self._backend, claim, self._worker, self._heart) as keeper:
                try:
                    live = self._trainer(claim.job, folder, keeper)
                    publication = self._train(claim, live, folder, keeper)
                except CheckpointError:
                    raise  # damaged on its way or at rest: worth another attempt
                except LSTMError as error:
                    publication = _failure(claim.job, error)
                keeper.settle()
                job = leases.publish(self._backend, claim, publication)
        finally:
            shutil.rmtree(folder, ignore_errors=True)
        self._collect(claim.job, job)
        if job.state is JobState.RUNNING:
            self._keep(job, live)
        elif job.state.final and job.dataset is not None:
            shutil.rmtree(self._backend.token_ids(job.dataset), ignore_errors=True)
        return job

    def _trainer(self, job: Job, folder: Path, keeper: LeaseKeeper) -> LiveTrainer:
        # Not after a whole slice: that would be lost.
        room = ROOM_IN_CHECKPOINTS * job.checkpoint.bytes if job.checkpoint else 0
        self._backend.store.check(room)
        live = self._live.pop(job.id, None)
        if live is not None and live.slices == job.slices:
            return live
        dataset = datasets.get(self._backend, job.owner, str(job.dataset))
        corpus = datasets.load_corpus(self._backend, dataset)
        cache = None
        if dataset.file.bytes >= CACHED_BYTES:
            cache = self._backend.token_ids(dataset.id)
            trim_cache(cache.parent, MOST_CACHED_BYTES)
        resumed = self._resume(job, corpus, cache, folder, keeper)
        if resumed is not None:
            return resumed
        config = understood(parse_config, job.config)
        start = self._start_model(config.init_from, folder) if config.init_from else None
        trainer = Trainer.start(config, corpus, init_from=start, cache=cache)
        parameters, tokens = trainer.language_model.parameters, trainer.tokenizer.modelled_size
        sentence = f"{parameters:,} parameters, a vocabulary of {tokens:,} tokens"
        keeper.tell("log", {"level": "info", "message": sentence}, "log:start")
        return LiveTrainer(trainer, job.slices, checkpoint=None)

    def _resume(
        self, job: Job, corpus: Corpus, cache: Path | None, folder: Path, keeper: LeaseKeeper
    ) -> LiveTrainer | None:
        """The newest checkpoint that can be used; None when the training must begin anew.

        Raises OtherVersion when a newer worker wrote one, and CheckpointError when one is whole but
        cannot be read here: beginning anew would throw good work away.
        """
        unreadable: CheckpointError | None = None
        for file in filter(None, (job.checkpoint, job.previous_checkpoint)):
            try:
                path = self._backend.store.download(file, folder / "from.safetensors")
                trainer = Trainer.resume(path, corpus, cache=cache)
            except NewerFormat as error:
                raise OtherVersion(str(error)) from error
            except (Damaged, CheckpointError) as error:
                if isinstance(error, CheckpointError):
                    unreadable = error
                _tell_damage(job, file, error, keeper)
            else:
                return LiveTrainer(trainer, job.slices, checkpoint=file)
        if unreadable is not None:
            raise unreadable
        return None

    def _train(
        self, claim: leases.Claim, live: LiveTrainer, folder: Path, keeper: LeaseKeeper
    ) -> leases.Publication:
        """Step until the slice is over, then write its files into the store."""
        seconds = max(
            self._backend.settings.slice_seconds, SLICES_PER_SAVE_COST * live.save_seconds
        )
        pause = self._pause(claim, seconds) + live.save_seconds
        pace = Pace(seconds, pause, live.seconds_a_step)
        trainer, meter = live.trainer, Meter(live.trainer, claim.job.metrics, pace)
        for item in trainer.run():
            meter.note(item, keeper)
            if keeper.should_stop or shutdown.begun() or meter.seconds > seconds:
                break
        live.seconds_a_step = meter.seconds_a_step
        began_saving = time.monotonic()
        checkpoint, candidate = self._store_files(claim, trainer, meter, folder, keeper)
        live.save_seconds = time.monotonic() - began_saving
        return leases.Publication(
            state=JobState.RUNNING if trainer.stopped is None else JobState.SUCCEEDED,
            progress=meter.progress(),
            metrics=meter.metrics,
            checkpoint=checkpoint,
            went_on_from=live.checkpoint,
            candidate=candidate,
            stopped=trainer.stopped,
            slice={
                "worker": self._worker,
                "from_step": meter.first_step,
                "to_step": trainer.step,
                "tokens": meter.tokens,
                "seconds": round(meter.seconds, 3),
                "save_seconds": round(live.save_seconds, 3),
                **meter.used(),
            },
        )

    def _pause(self, claim: leases.Claim, slice_seconds: float) -> float:
        """How long the job will most likely wait after a slice: as before it, the first apart."""
        if claim.job.slices:
            return claim.waited_seconds
        with self._backend.database.reading() as connection:
            turn = scheduling.slices_a_turn(connection, claim.job.kind, claim.job.owner)
        workers = self._backend.live.workers_online("train") or 1
        return max(0.0, turn / workers - 1) * slice_seconds

    def _store_files(
        self,
        claim: leases.Claim,
        trainer: Trainer,
        meter: "Meter",
        folder: Path,
        keeper: LeaseKeeper,
    ) -> tuple[StoredFile, Json | None]:
        """The checkpoint, and the best model if it is another one than the record's.

        The store has its own patience: only a single file that takes too long is a hang.
        """
        name = f"{claim.job.id}/{claim.job.slices + 1}-{claim.epoch}"
        path = folder / "to.safetensors"
        with _on_local_disk(folder):
            trainer.save(path)
        keeper.is_alive()
        checkpoint = self._backend.store.put(f"checkpoints/{name}.safetensors", path)
        keeper.is_alive()
        known = claim.job.candidate
        if known is not None and known["step"] == trainer.best_step:
            return checkpoint, None
        with _on_local_disk(folder):
            trainer.write_best(folder / "model")
        files = {
            file: asdict(self._backend.store.put(f"models/{name}/{file}", folder / "model" / file))
            for file in FILES
        }
        metrics = meter.metrics_at(trainer.best_step)
        return checkpoint, {"step": trainer.best_step, "metrics": metrics, "files": files}

    def _start_model(self, identifier: str, folder: Path) -> LanguageModel:
        model = models.get_any(self._backend, identifier)
        return load_model(models.download(self._backend, model, folder / "start"))

    def _keep(self, job: Job, live: LiveTrainer) -> None:
        live.slices, live.checkpoint = job.slices, job.checkpoint
        self._live[job.id] = live
        while len(self._live) > MOST_LIVE_TRAINERS:
            self._live.popitem(last=False)

    def _collect(self, before: Job, after: Job) -> None:
        """Remove what the record pointed at before this slice and points at no more."""
        kept = (after.checkpoint, after.previous_checkpoint)
        known = filter(None, (before.checkpoint, before.previous_checkpoint))
        stale = [file for file in known if file not in kept]
        if before.candidate and after.candidate != before.candidate:
            stale += [StoredFile(**file) for file in before.candidate["files"].values()]
        try:
            self._backend.store.delete(*stale)
        except StoreError as error:
            log.warning("left behind: %s", error)


def _tell_damage(
    job: Job, file: StoredFile, error: Damaged | CheckpointError, keeper: LeaseKeeper
) -> None:
    another = file == job.checkpoint and job.previous_checkpoint is not None
    rest = "the one before it is used" if another else "the training starts over"
    message = f"a checkpoint cannot be used, {rest}: {error}"
    keeper.tell("log", {"level": "warning", "message": message}, f"damaged:{file.sha256[:40]}")


@contextlib.contextmanager
def _on_local_disk(folder: Path) -> Iterator[None]:
    """A local disk that is full or broken is the store's trouble, not the training's."""
    try:
        yield
    except (OSError, SafetensorError) as error:
        raise StoreError(f"nothing can be written to {folder.parent}: {error}") from error


def _failure(job: Job, error: LSTMError) -> leases.Publication:
    """A training that cannot go on, however often it were tried again."""
    advice = getattr(error, "advice", None)
    message = f"{error} {advice}" if advice else str(error)
    return leases.Publication(
        state=JobState.FAILED,
        progress=job.progress,
        metrics=job.metrics,
        error={"code": type(error).__name__, "message": message},
    )
