"""What slices cost: the same training cut into slices with all their records and files, and whole.

    python -m benchmarks.slice_overhead [--slice 20] [--slices 1] [--rounds 6]

Both run in this process, in turns, round by round: the loop trains as many steps as the slices have
done. A slice claims, keeps its lease from a thread, saves checkpoint and model with their fsyncs,
and publishes; the trainer stays in memory. Work per processor second is compared as well as per
second of wall time, because others may use this machine; and so is told what no rival disturbs: the
part of the slices' time that went into anything but steps.
"""

import argparse
import statistics
import sys
import time

from benchmarks.silence import silent_backend
from lstmcore.config import resolve_config
from lstmcore.corpus import read_corpus, summarize
from lstmcore.training import StepDone, Trainer
from worker import datasets, events, leases, submissions
from worker.backend import Backend
from worker.slices import SliceRunner

TEXT = "".join(
    f"line {number} of the text says that {number * 7 % 101} comes after {number * 13 % 97} .\n"
    for number in range(20_000)
)
CONFIG = {
    "preset": "word",
    "model": {"embed_dim": 200, "hidden_dim": 200, "layers": 2},
    "training": {"epochs": 1000, "batch_size": 20, "bptt": 35, "patience": None},
}


def main() -> None:
    """Print each round and the medians."""
    arguments = argparse.ArgumentParser(description=(__doc__ or "").partition("\n")[0])
    arguments.add_argument("--slice", type=float, default=20.0, help="seconds of a slice")
    arguments.add_argument("--slices", type=int, default=1, help="in a round")
    arguments.add_argument("--rounds", type=int, default=6)
    given = arguments.parse_args()
    corpus = read_corpus(TEXT.encode()).corpus
    loop = Trainer.start(resolve_config(CONFIG, summarize(corpus)), corpus, threads=1)
    items = loop.run()
    with silent_backend(slice_seconds=given.slice) as (backend, _):
        text = datasets.create(backend, "ann", name="text", data=TEXT.encode())
        job = submissions.submit_train(backend, "ann", name=None, dataset=text.id, config=CONFIG)
        runner = SliceRunner(backend, "worker")

        def slices() -> int:
            first = last = 0
            for number in range(given.slices):
                claim = leases.claim(backend, "train", "worker")
                if claim is None:
                    sys.exit("the training has ended: give fewer slices")
                first = claim.job.progress.step if number == 0 else first
                last = runner.run(claim).progress.step
            return last - first

        def whole(steps: int) -> None:
            done = 0
            while done < steps:
                done += isinstance(next(items), StepDone)

        slices()  # both are warm now
        warm = given.slices
        whole(50)
        wall, processor, slices_took = [], [], 0.0
        for number in range(given.rounds):
            began, used = time.perf_counter(), time.process_time()
            steps = slices()
            sliced, sliced_used = time.perf_counter() - began, time.process_time() - used
            slices_took += sliced
            began, used = time.perf_counter(), time.process_time()
            whole(steps)
            straight, straight_used = time.perf_counter() - began, time.process_time() - used
            wall.append(sliced / straight - 1)
            processor.append(sliced_used / straight_used - 1)
            sys.stdout.write(
                f"round {number + 1}: {steps} steps, {given.slices} slices {sliced:.1f} s, "
                f"whole {straight:.1f} s: wall {wall[-1]:+.1%}, processor {processor[-1]:+.1%}\n"
            )
            sys.stdout.flush()
        outside = not_in_steps(backend, job.id, warm, slices_took)
    sys.stdout.write(
        f"median: wall {statistics.median(wall):+.1%}, "
        f"processor {statistics.median(processor):+.1%}\n"
    )
    sys.stdout.write(outside)


def not_in_steps(backend: Backend, job: str, warm: int, took: float) -> str:
    """A line about all but the first `warm` slices of a job, which took so long in all."""
    found = [each.data for each in events.after(backend, job, limit=10_000) if each.type == "slice"]
    told = found[warm:]
    saving = sum(data["save_seconds"] for data in told)
    rest = took - sum(data["seconds"] for data in told)  # which saving is a part of
    return (
        f"of the slices' time not in steps: {(rest + saving) / took:.2%} "
        f"({1000 * (rest + saving) / len(told):.0f} ms a slice, "
        f"{1000 * saving / len(told):.0f} of them saving)\n"
    )


if __name__ == "__main__":
    main()
