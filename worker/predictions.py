"""Answers prompts: keeps hot models loaded and turns requests into results.

Only predictors import this; they never wait behind a training.
"""

import logging
import shutil
import tempfile
from collections import OrderedDict
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from time import monotonic, perf_counter
from typing import Any

from lstmcore.config import parse_sampling
from lstmcore.errors import LSTMError
from lstmcore.sampling import LanguageModel, load_model, stream
from worker import answers, leases, models
from worker.backend import Backend
from worker.errors import Damaged, NotFound, StoreError, Unavailable
from worker.fuse import Fuse
from worker.insight_answers import answer_question
from worker.keeping import LeaseKeeper
from worker.records import Job, JobState, Json, Model, Progress
from worker.turns import Turns

log = logging.getLogger(__name__)

# A prediction job lets others have the predictor after so long.
TURN_SECONDS = 2.0
# What may go wrong with a request through no fault of the predictor.
EXPECTED_ERRORS = (LSTMError, NotFound, StoreError)


class ModelCache:
    """Loaded models, the least recently used dropped first when memory is short."""

    def __init__(self, backend: Backend) -> None:
        self._backend = backend
        self._most_bytes = backend.settings.model_cache_bytes
        self._loaded: OrderedDict[str, LanguageModel] = OrderedDict()

    def get(self, identifier: str) -> tuple[Model, LanguageModel]:
        """A model ready to use. Raises NotFound, StoreError, lstmcore's CheckpointError."""
        model = models.get_any(self._backend, identifier)
        # A changed file (there should be none) is another model.
        key = f"{model.id}:{model.files['model.safetensors'].sha256}"
        loaded = self._loaded.pop(key, None) or self._load(model)
        self._loaded[key] = loaded
        while len(self._loaded) > 1 and self._bytes() > self._most_bytes:
            self._loaded.popitem(last=False)
        return model, loaded

    def _load(self, model: Model) -> LanguageModel:
        folder = Path(tempfile.mkdtemp(prefix="lstmq-model-"))
        try:
            return load_model(models.download(self._backend, model, folder))
        finally:
            shutil.rmtree(folder, ignore_errors=True)

    def _bytes(self) -> int:
        return sum(loaded.nbytes for loaded in self._loaded.values())


class Predictor:
    """Answers requests and runs durable prediction jobs in one process."""

    def __init__(self, backend: Backend, worker: str, stopping: Callable[[], bool]) -> None:
        self._backend, self._worker, self._stopping = backend, worker, stopping
        self._models = ModelCache(backend)
        self._fuse = Fuse(backend.settings.hang_seconds)
        self._turns = Turns(backend, worker, alive=self._fuse.step)

    def answer(self, request: str, identifier: str, prompts: list[str], sampling: Json) -> None:
        """Send the items of an answer to the one who waits for it, if anybody still does."""
        live = self._backend.live
        if not live.is_wanted(request):
            return
        with self._fuse, self._telling(request):
            for index, prompt in enumerate(prompts):
                for item in self._predict(identifier, prompt, sampling):
                    if not live.send_answer(request, item | {"index": index}):
                        return

    def look(self, request: str, identifier: str, question: str, arguments: Json) -> None:
        """Answer one of `worker.insights`'s questions about a model, if anybody still waits."""
        if not self._backend.live.is_wanted(request):
            return
        with self._fuse, self._telling(request):
            began = perf_counter()
            model, loaded = self._models.get(identifier)
            found = answer_question(loaded, question, arguments)
            seconds = round(perf_counter() - began, 6)
            result = found | {"model": model.id, "seconds": seconds}
            self._backend.live.send_answer(request, {"type": "result", "result": result})

    @contextmanager
    def _telling(self, request: str) -> Iterator[None]:
        """Tell whoever waits what went wrong: nobody must wait for nothing."""
        try:
            yield
        except (*EXPECTED_ERRORS, Unavailable) as error:
            self._backend.live.send_answer(request, _error_item(error))
        except Exception:
            self._backend.live.send_answer(
                request, {"type": "error", "code": "internal", "message": "the predictor failed"}
            )
            raise  # the trace is for the log

    def run(self, claim: leases.Claim) -> Job:
        """Answer prompts of a prediction job for one turn, at least one, and publish them.

        Raises LeaseLost, and StoreError when the store does not answer: worth another attempt.
        """
        if claim.job.dataset is not None:
            with self._fuse:
                return self._turns.run(claim, lambda model: self._models.get(model)[1])
        config, first = claim.job.config, answers.count(self._backend, claim.job.id)
        found: list[Json] = []
        with self._fuse, LeaseKeeper(self._backend, claim, self._worker) as keeper:
            try:
                ends_at = monotonic() + TURN_SECONDS
                for prompt in config["prompts"][first:]:
                    if keeper.should_stop or (found and monotonic() > ends_at):
                        break
                    items = self._predict(config["model"], prompt, config["sampling"], keeper)
                    found += [item["result"] for item in items if "result" in item]
            except Unavailable:
                pass  # the process is asked to stop, or the job: what is answered is kept
            except (LSTMError, NotFound, Damaged) as error:
                problem = {"code": type(error).__name__, "message": str(error)}
                publication = leases.Publication(
                    state=JobState.FAILED, progress=claim.job.progress, error=problem
                )
                keeper.settle()
                return leases.publish(self._backend, claim, publication)
            keeper.settle()
            return leases.publish(self._backend, claim, self._turn(claim.job, first, found))

    def _turn(self, job: Job, first: int, found: list[Json]) -> leases.Publication:
        """What a turn makes true: a few answers more, or the result."""
        total, done = len(job.config["prompts"]), first + len(found)
        progress = Progress(step=done, total_steps=total)
        if done < total:
            return leases.Publication(JobState.RUNNING, progress, answers=found)
        results = [*answers.published(self._backend, job.id), *found]
        result = results[0] if job.config["single"] else {"results": results}
        return leases.Publication(JobState.SUCCEEDED, progress, result=result)

    def _predict(
        self, identifier: str, prompt: str, sampling: Json, keeper: LeaseKeeper | None = None
    ) -> Iterator[Json]:
        """`token` items as text comes, then one `result` item.

        Raises Unavailable when this process, or the job of the keeper, was asked to stop: half a
        text is no answer.
        """

        def should_stop() -> bool:
            self._fuse.step()
            return self._stopping() or (keeper is not None and keeper.should_stop)

        began = perf_counter()
        model, loaded = self._models.get(identifier)
        for piece in stream(loaded, prompt, parse_sampling(sampling), should_stop=should_stop):
            if isinstance(piece, str):
                yield {"type": "token", "text": piece}
            elif should_stop():
                raise Unavailable("the predictor is stopping; ask again in a moment")
            else:
                seconds = round(perf_counter() - began, 6)
                result: dict[str, Any] = piece | {"model": model.id, "seconds": seconds}
                yield {"type": "result", "result": result}


def _error_item(error: Exception) -> Json:
    errors = getattr(error, "errors", [])
    return {
        "type": "error",
        "code": type(error).__name__,
        "message": str(error),
        "errors": errors,
    }
