"""Whether a second worker is worth a second core, and what the service costs beside bare training.

    python -m benchmarks.workers
    python -m benchmarks.workers --jobs 12 --rounds 3

The same trainings are done by one and by two bare one-thread processes, then by a service with one
and with two training workers, in one run; while both workers train, prompts are answered as well.
The reach: the service gains from its second worker what bare processes gain, times 0.95.
"""

import argparse
import json
import os
import statistics
import subprocess
import sys
import tempfile
import threading
import time
from pathlib import Path
from typing import Any

import httpx

from benchmarks.service import running
from benchmarks.side_by_side import Table

TEXT = "the cat sat on the mat, and the dog lay by the door of the house.\n" * 300
CONFIG: dict[str, Any] = {
    "preset": "char",
    "model": {"embed_dim": 64, "hidden_dim": 128, "layers": 1},
    "training": {"batch_size": 16, "bptt": 64, "validation_fraction": 0.1, "patience": None},
}
BARE = """
import json, sys, time
import torch
torch.set_num_threads(1)
from lstmcore.config import resolve_config
from lstmcore.corpus import read_corpus, summarize
from lstmcore.training import Trainer
text, config, count = json.loads(sys.stdin.readline())
corpus = read_corpus(text.encode()).corpus
resolved = resolve_config(config, summarize(corpus))
print("ready", flush=True)
sys.stdin.readline()
for _ in range(count):
    for _ in Trainer.start(resolved, corpus, threads=1).run():
        pass
print("done", flush=True)
"""
ONE_THREAD = {"OMP_NUM_THREADS": "1", "MKL_NUM_THREADS": "1"}
WAIT_SECONDS = 900


def main() -> None:
    """Measure and print."""
    parser = argparse.ArgumentParser(description=(__doc__ or "").partition("\n")[0])
    parser.add_argument("--jobs", type=int, default=8, help="trainings of each measurement")
    parser.add_argument("--epochs", type=int, default=20, help="of each training")
    parser.add_argument("--rounds", type=int, default=2, help="how often all is measured")
    given = parser.parse_args()
    config = CONFIG | {"training": CONFIG["training"] | {"epochs": given.epochs}}
    seconds: dict[str, list[float]] = {name: [] for name in ("bare 1", "bare 2", "1", "2")}
    answers: list[float] = []
    for _ in range(given.rounds):
        for workers in (1, 2):
            seconds[f"bare {workers}"].append(bare(config, given.jobs, workers))
        for workers in (1, 2):
            taken, asked = service(config, given.jobs, workers)
            seconds[f"{workers}"].append(taken)
            answers += asked if workers > 1 else []
    report(seconds, answers, given.jobs)


def bare(config: dict[str, Any], count: int, processes: int) -> float:
    """Seconds that so many processes take for all trainings, from their common start."""
    shares = [count // processes + (number < count % processes) for number in range(processes)]
    started = []
    for share in shares:
        process = subprocess.Popen(  # noqa: S603 - our own interpreter
            [sys.executable, "-c", BARE],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            text=True,
            env=os.environ | ONE_THREAD,
        )
        _write(process, json.dumps([TEXT, config, share]))
        started.append(process)
    for process in started:
        _read(process)
    began = time.monotonic()
    for process in started:
        _write(process, "go")
    for process in started:
        _read(process)
        process.wait()
    return time.monotonic() - began


def service(config: dict[str, Any], count: int, workers: int) -> tuple[float, list[float]]:
    """Seconds that a service takes for all trainings, and for each prompt asked meanwhile."""
    with (
        tempfile.TemporaryDirectory(prefix="lstmq-") as folder,
        running(Path(folder), train_workers=workers, slice_seconds=20) as (url, _),
        httpx.Client(base_url=url, timeout=90) as client,
    ):
        # Every worker has loaded torch, and there is a model to ask.
        short = config | {"training": config["training"] | {"epochs": 1}}
        first = [submit(client, short) for _ in range(4 * workers)]
        models = [finished(client, job)["result"]["model"] for job in first]
        asked: list[float] = []
        stop = threading.Event()
        asking = threading.Thread(target=ask_for_ever, args=(url, models[0], stop, asked))
        began = time.monotonic()
        jobs = [submit(client, config) for _ in range(count)]
        asking.start()
        for job in jobs:
            finished(client, job)
        taken = time.monotonic() - began
        stop.set()
        asking.join()
    return taken, asked


def submit(client: httpx.Client, config: dict[str, Any]) -> str:
    """Give the service a training; its id."""
    answer = client.post("/api/v1/jobs", json={"kind": "train", "text": TEXT, "config": config})
    answer.raise_for_status()
    return str(answer.json()["id"])


def finished(client: httpx.Client, job: str) -> dict[str, Any]:
    """The job when it is done."""
    deadline = time.monotonic() + WAIT_SECONDS
    while time.monotonic() < deadline:
        found: dict[str, Any] = client.get(f"/api/v1/jobs/{job}", params={"wait": 30}).json()
        if found["finished_at"]:
            if found["state"] != "succeeded":
                raise SystemExit(found["error"])
            return found
    raise SystemExit(f"{job} took too long")


def ask_for_ever(url: str, model: str, stop: threading.Event, asked: list[float]) -> None:
    """A prompt every tenth of a second; how long each answer took."""
    with httpx.Client(base_url=url, timeout=90) as client:
        while not stop.wait(0.1):
            began = time.monotonic()
            body = {"prompt": "the cat", "sampling": {"max_tokens": 1}}
            client.post(f"/api/v1/models/{model}/predict", json=body).raise_for_status()
            asked.append(time.monotonic() - began)


def report(seconds: dict[str, list[float]], answers: list[float], jobs: int) -> None:
    """Print the table."""
    best = {name: min(taken) for name, taken in seconds.items()}
    gain_bare, gain = best["bare 1"] / best["bare 2"], best["1"] / best["2"]
    table = Table(f"{jobs} trainings, one thread each")
    for name, taken in best.items():
        what = f"{name} processes" if "bare" in name else f"service, {name} workers"
        table.add(what, f"{taken:.1f} s, {jobs / taken * 3600:,.0f} jobs/hour")
    table.add("second bare process", f"{gain_bare:.2f}x")
    table.add("second worker", f"{gain:.2f}x")
    table.judge(
        "what the second worker gains, of what a process does", gain / gain_bare, least=0.95
    )
    table.add("service beside bare, one worker", f"{(best['1'] / best['bare 1'] - 1):+.1%}")
    table.add("cost of a job", f"{(best['1'] - best['bare 1']) / jobs * 1000:.0f} ms")
    p95 = statistics.quantiles(answers, n=20)[-1]
    table.add("prediction while both train, p50", f"{statistics.median(answers) * 1000:.0f} ms")
    table.add("prediction while both train, p95", f"{p95 * 1000:.0f} ms")
    table.print()


def _write(process: "subprocess.Popen[str]", line: str) -> None:
    if process.stdin is not None:
        process.stdin.write(line + "\n")
        process.stdin.flush()


def _read(process: "subprocess.Popen[str]") -> None:
    if process.stdout is None or not process.stdout.readline():
        raise SystemExit("a bare training failed")


if __name__ == "__main__":
    main()
