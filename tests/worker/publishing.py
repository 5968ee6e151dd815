"""A worker that publishes slices as fast as it can, with real files and no training."""

import contextlib
import threading
from collections.abc import Iterator
from dataclasses import asdict

from worker import leases
from worker.backend import Backend
from worker.records import JobState, Progress


def one_slice(backend: Backend, *, last: bool = False) -> bool:
    """Claim, store a checkpoint and a model, publish, remove what is stale: as a slice does."""
    claim = leases.claim(backend, "train", threading.current_thread().name)
    if claim is None:
        return False
    before = claim.job
    name = f"{before.id}/{before.slices + 1}-{claim.epoch}"
    checkpoint = backend.store.put(f"checkpoints/{name}.safetensors", name.encode() * 100)
    file = backend.store.put(f"models/{name}/model.safetensors", name.encode())
    leases.publish(
        backend,
        claim,
        leases.Publication(
            state=JobState.SUCCEEDED if last else JobState.RUNNING,
            progress=Progress(step=before.slices + 1),
            checkpoint=checkpoint,
            went_on_from=before.checkpoint,
            candidate={"step": 1, "metrics": {}, "files": {"model.safetensors": asdict(file)}},
        ),
    )
    if before.previous_checkpoint:
        backend.store.delete(before.previous_checkpoint)
    return True


@contextlib.contextmanager
def busy(backend: Backend, workers: int = 2) -> Iterator[list[BaseException]]:
    """Slices are published in threads meanwhile; what went wrong in them."""
    stop, errors = threading.Event(), list[BaseException]()

    def work() -> None:
        try:
            while not stop.is_set():
                one_slice(backend)
        except BaseException as error:  # noqa: BLE001 - the test tells
            errors.append(error)

    threads = [threading.Thread(target=work) for _ in range(workers)]
    for thread in threads:
        thread.start()
    try:
        yield errors
    finally:
        stop.set()
        for thread in threads:
            thread.join()
