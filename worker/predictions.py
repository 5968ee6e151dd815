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
from time import perf_counter
from typing import Any

from lstmcore.config import parse_sampling
from lstmcore.errors import LSTMError
from lstmcore.sampling import LanguageModel, load_model, stream
from worker import leases, models
from worker.backend import Backend
from worker.errors import Damaged, NotFound, StoreError, Unavailable
from worker.insight_answers import answer_question
from worker.keeping import LeaseKeeper
from worker.records import Job, JobState, Json, Model

log = logging.getLogger(__name__)

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

    def answer(self, request: str, identifier: str, prompts: list[str], sampling: Json) -> None:
        """Send the items of an answer to the one who waits for it, if anybody still does."""
        live = self._backend.live
        if not live.is_wanted(request):
            return
        with self._telling(request):
            for index, prompt in enumerate(prompts):
                for item in self._predict(identifier, prompt, sampling):
                    if not live.send_answer(request, item | {"index": index}):
                        return

    def look(self, request: str, identifier: str, question: str, arguments: Json) -> None:
        """Answer one of `worker.insights`'s questions about a model, if anybody still waits."""
        if not self._backend.live.is_wanted(request):
            return
        with self._telling(request):
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
        """Run a prediction job to its end and publish the result.

        Raises LeaseLost, and StoreError when the store does not answer: worth another attempt.
        """
        config = claim.job.config
        results: list[Json] = []
        with LeaseKeeper(self._backend, claim, self._worker) as keeper:
            try:
                for prompt in config["prompts"]:
                    if keeper.should_stop:
                        break
                    items = self._predict(config["model"], prompt, config["sampling"])
                    results.append([item["result"] for item in items if "result" in item][-1])
                result = results[0] if config["single"] and results else {"results": results}
                done = len(results) == len(config["prompts"])
                publication = leases.Publication(
                    state=JobState.SUCCEEDED if done else JobState.RUNNING,
                    result=result if done else None,
                )
            except Unavailable:
                publication = leases.Publication(state=JobState.RUNNING)
            except (LSTMError, NotFound, Damaged) as error:
                problem = {"code": type(error).__name__, "message": str(error)}
                publication = leases.Publication(state=JobState.FAILED, error=problem)
            keeper.settle()
            return leases.publish(self._backend, claim, publication)

    def _predict(self, identifier: str, prompt: str, sampling: Json) -> Iterator[Json]:
        """`token` items as text comes, then one `result` item.

        Raises Unavailable when this process was asked to stop: half a text is no answer.
        """
        began = perf_counter()
        model, loaded = self._models.get(identifier)
        for piece in stream(loaded, prompt, parse_sampling(sampling), should_stop=self._stopping):
            if isinstance(piece, str):
                yield {"type": "token", "text": piece}
            elif self._stopping():
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
