"""Answers prompts: keeps hot models loaded and turns requests into results.

Only predictors import this; they never wait behind a training.
"""

from collections.abc import Callable, Iterator
from time import monotonic, perf_counter
from typing import Any

from lstmcore.config import parse_sampling
from lstmcore.errors import LSTMError
from lstmcore.sampling import stream
from worker import answers, leases
from worker.backend import Backend
from worker.desk import Desk
from worker.errors import Damaged, NotFound, Unavailable
from worker.fuse import Fuse
from worker.holding import keep_telling
from worker.keeping import LeaseKeeper
from worker.model_cache import ModelCache
from worker.records import Job, JobState, Json, Progress
from worker.release import understood
from worker.turns import Turns
from worker.written import Written

# A prediction job lets others have the predictor after so long.
TURN_SECONDS = 2.0
LOOK_UP_SECONDS = 0.05


class Predictor:
    """Answers requests and runs durable prediction jobs in one process."""

    def __init__(self, backend: Backend, worker: str, stopping: Callable[[], bool]) -> None:
        self._backend, self._worker, self._stopping = backend, worker, stopping
        self._models = ModelCache(backend)
        self._fuse = Fuse(backend.settings.hang_seconds)
        self._desk = Desk(backend, self._models, worker, stopping, self._fuse)
        keep_telling(backend.asks, self._desk)
        self._turns = Turns(backend, worker, alive=self._look_up)
        self._looked_up_at = 0.0

    def serve(self) -> None:
        """Answer who asks, until nobody does for a while or others wait for this worker."""
        with self._fuse:
            self._desk.serve()

    def run(self, claim: leases.Claim) -> Job:
        """Answer prompts of a prediction job for one turn, at least one, and publish them.

        Raises LeaseLost, and StoreError when the store does not answer: worth another attempt.
        """
        if claim.job.dataset is not None:
            with self._fuse:
                return self._turns.run(claim, lambda model: self._models.get(model)[1])
        config, first = claim.job.config, answers.count(self._backend, claim.job.id)
        found: list[Json] = []
        written = Written(self._backend.live, claim.job.id)
        with self._fuse, LeaseKeeper(self._backend, claim, self._worker) as keeper:
            try:
                ends_at = monotonic() + TURN_SECONDS
                for number, prompt in enumerate(config["prompts"][first:], first):
                    if keeper.should_stop or (found and monotonic() > ends_at):
                        break
                    self._look_up()
                    written.begin(number)
                    for item in self._predict(config["model"], prompt, config["sampling"], keeper):
                        if "result" in item:
                            found.append(item["result"])
                        else:
                            written.add(item["text"])
            except Unavailable:
                pass  # the process is asked to stop, or the job: what is answered is kept
            except (LSTMError, NotFound, Damaged) as error:
                problem = {"code": type(error).__name__, "message": str(error)}
                publication = leases.Publication(
                    state=JobState.FAILED, progress=claim.job.progress, error=problem
                )
                keeper.settle()
                return leases.publish(self._backend, claim, publication)
            written.tell()
            keeper.settle()
            return leases.publish(self._backend, claim, self._turn(claim.job, first, found))

    def _look_up(self) -> None:
        """Between two steps of a job: those who wait for an answer wait no longer."""
        self._fuse.step()
        if monotonic() - self._looked_up_at > LOOK_UP_SECONDS:
            self._desk.serve(linger=0)
            self._looked_up_at = monotonic()

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
        model, loaded, _ = self._models.get(identifier)
        asked = understood(parse_sampling, sampling)
        for piece in stream(loaded, prompt, asked, should_stop=should_stop):
            if isinstance(piece, str):
                yield {"type": "token", "text": piece}
            elif should_stop():
                raise Unavailable("the predictor is stopping; ask again in a moment")
            else:
                seconds = round(perf_counter() - began, 6)
                result: dict[str, Any] = piece | {"model": model.id, "seconds": seconds}
                yield {"type": "result", "result": result}
