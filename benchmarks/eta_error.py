"""How far the remaining time that is shown is from the truth, over a job's life.

    python -m benchmarks.eta_error [--epochs 300] [--rounds 2]

One worker in this process, slices of 2 s, real trainings: a job alone, and one that shares the
worker with two others. The error is (shown - true) in per cent of the job's whole time.
"""

import argparse
import statistics
import sys
import time

from benchmarks.silence import silent_backend
from worker import datasets, leases, submissions
from worker.records import JobState
from worker.slices import SliceRunner

TEXT = "the cat sat on the mat and the dog lay by the door while the rain fell .\n" * 400
SLICE_SECONDS = 2.0
AT = (0.05, 0.1, 0.25, 0.5, 0.75, 0.9)


def config_for(epochs: int) -> dict[str, object]:
    """A small model that trains for so many epochs."""
    return {
        "preset": "word",
        "model": {"embed_dim": 64, "hidden_dim": 128},
        "training": {"epochs": epochs, "batch_size": 16, "bptt": 32, "patience": None},
    }


def measure(epochs: int, others: int) -> list[float]:
    """Errors at the points of AT, in per cent of the whole."""
    with silent_backend(slice_seconds=SLICE_SECONDS, max_active_jobs=0) as (backend, live):
        text = datasets.create(backend, "ann", name="text", data=TEXT.encode())
        watched, *_ = [
            submissions.submit_train(
                backend, "ann", name=None, dataset=text.id, config=config_for(epochs)
            )
            for _ in range(1 + others)
        ]
        runner, began = SliceRunner(backend, "worker"), time.monotonic()
        while (claim := leases.claim(backend, "train", "worker")) is not None:
            job = runner.run(claim)
            if job.id == watched.id and job.state is not JobState.RUNNING:
                break
        ended = time.monotonic()
    whole = ended - began
    errors = []
    for share in AT:
        moment = began + share * whole
        known = [(at, shown) for at, shown in live.shown[watched.id] if at <= moment]
        told = [(at, shown.eta_seconds) for at, shown in known if shown.eta_seconds is not None]
        if not told:
            errors.append(float("nan"))
            continue
        at, eta = told[-1]
        errors.append((eta - (ended - at)) / whole * 100)
    return errors


def main() -> None:
    """Print the table."""
    arguments = argparse.ArgumentParser(description=(__doc__ or "").partition("\n")[0])
    arguments.add_argument("--epochs", type=int, default=300, help="how long the jobs are")
    arguments.add_argument("--rounds", type=int, default=2)
    given = arguments.parse_args()
    line("error in % of the whole at", *(f"{share:.0%}" for share in AT))
    for name, others, epochs in (
        ("alone", 0, given.epochs),
        ("with two others", 2, given.epochs // 2),
    ):
        rounds = [measure(epochs, others) for _ in range(given.rounds)]
        line(name, *(f"{statistics.mean(each):+.0f}" for each in zip(*rounds, strict=True)))


def line(first: str, *cells: str) -> None:
    """One line of the table."""
    sys.stdout.write(f"{first:<28}" + "".join(f"{cell:>8}" for cell in cells) + "\n")
    sys.stdout.flush()


if __name__ == "__main__":
    main()
