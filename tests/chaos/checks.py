"""What must be true afterwards, told from the ledger and held against the records."""

import json
import time
from collections import Counter
from pathlib import Path
from statistics import median
from typing import Any

import sqlalchemy as sa
from safetensors.torch import load_file

from lstmcore.config import parse_config, parse_sampling
from lstmcore.corpus import read_corpus
from lstmcore.sampling import generate, load_model
from lstmcore.training import Trainer
from tests.chaos.system import PROMPT, SAMPLING, TEXT, System
from worker import models
from worker.database import events
from worker.records import FINAL_STATES
from worker.verification import verify

FINISH_SECONDS, QUIET_SECONDS = 420.0, 60.0


class Checks:
    """Finds every broken promise; an empty list is the only good result."""

    def __init__(self, system: System, folder: Path) -> None:
        self._system, self._folder = system, folder
        self._straight: dict[str, Path] = {}
        self.problems: list[str] = []
        self.accepted = [entry["job"] for entry in system.ledger.entries("accepted")]

    def run(self) -> None:
        """All of them."""
        self._all_final()
        rows = {row.id: row for row in self._system.rows()}
        for identifier in self.accepted:
            row = rows.get(identifier)
            if row is None:
                self.problems.append(f"{identifier} was accepted and is gone")
            elif row.state != "succeeded":
                self.problems.append(f"{identifier} is {row.state}: {row.error}")
            else:
                self._check_result(row)
        if extra := rows.keys() - set(self.accepted):
            self.problems.append(f"one request made two jobs: {sorted(extra)}")
        self._one_success_each()
        self._quiet_queue()
        if missing := verify(self._system.records).missing:
            self.problems.append(f"artifacts are missing: {missing}")

    def _all_final(self) -> None:
        deadline = time.monotonic() + FINISH_SECONDS
        while time.monotonic() < deadline:
            if all(row.state in FINAL_STATES for row in self._system.rows()):
                return
            time.sleep(0.5)

    def _check_result(self, row: Any) -> None:
        if row.kind == "predict":
            model = models.get_any(self._system.records, row.config["model"])
            loaded = load_model(self._straight_model(model.config))
            expected = generate(loaded, PROMPT, parse_sampling(SAMPLING))["completions"]
            if row.result["completions"] != json.loads(json.dumps(expected)):
                self.problems.append(f"{row.id} predicted something else")
            return
        model = models.get_any(self._system.records, row.result["model"])
        found = models.download(self._system.records, model, self._folder / row.id)
        if weights(found) != weights(self._straight_model(row.config)):
            self.problems.append(f"{row.id} ended with other weights")

    def _straight_model(self, config: dict[str, Any]) -> Path:
        """The same training without a single fault, in this process."""
        key = json.dumps(config, sort_keys=True)
        if key not in self._straight:
            corpus = read_corpus(TEXT.encode(), "text").corpus
            trainer = Trainer.start(parse_config(config), corpus, threads=1)
            for _ in trainer.run():
                pass
            self._straight[key] = self._folder / f"straight-{len(self._straight)}"
            trainer.write_best(self._straight[key])
        return self._straight[key]

    def _one_success_each(self) -> None:
        query = sa.select(events.c.job, events.c.data).where(events.c.type == "state")
        with self._system.records.database.reading() as connection:
            told = Counter(
                job for job, data in connection.execute(query) if data["state"] in FINAL_STATES
            )
        for identifier in self.accepted:
            if told[identifier] != 1:
                self.problems.append(f"{identifier} ended {told[identifier]} times")

    def _quiet_queue(self) -> None:
        deadline = time.monotonic() + QUIET_SECONDS
        while left := sum(int(self._system.queue.llen(name)) for name in ("train", "predict")):
            if time.monotonic() > deadline:
                self.problems.append(f"{left} messages are left in the queue")
                return
            time.sleep(0.5)


def weights(folder: Path) -> dict[str, bytes]:
    """The tensors of a model to the bit."""
    tensors = load_file(folder / "model.safetensors")
    return {name: tensor.numpy().tobytes() for name, tensor in tensors.items()}


def report(system: System, checks: Checks, seed: int) -> str:
    """The round in a few lines."""
    faults, recovered = system.ledger.entries("fault"), system.ledger.entries("recovered")
    seconds: dict[str, list[float]] = {}
    for entry in recovered:
        seconds.setdefault(entry["kind"], []).append(entry["seconds"])
    rows = system.rows()
    kinds = Counter(row.kind for row in rows)
    query = sa.select(events.c.data).where(events.c.type == "log")
    with system.records.database.reading() as connection:
        told = [data["message"] for (data,) in connection.execute(query)]
    lines = [
        f"seed {seed}: {len(faults)} faults in {faults[-1]['at'] - faults[0]['at']:.0f} s, "
        f"{len(system.ledger.entries('skipped'))} not possible at their moment",
        f"{'fault':<42} {'count':>5} {'median s':>9} {'max s':>6}",
    ]
    for kind, count in sorted(Counter(fault["kind"] for fault in faults).items()):
        times = seconds.get(kind)
        measured = f"{median(times):>9.1f} {max(times):>6.1f}" if times else f"{'-':>9} {'-':>6}"
        lines.append(f"{kind:<42} {count:>5} {measured}")
    every = [entry["seconds"] for entry in recovered]
    lines += [
        f"{'all':<42} {len(faults):>5} {median(every):>9.1f} {max(every):>6.1f}",
        f"accepted {len(checks.accepted)} jobs ({kinds['train']} trainings, "
        f"{kinds['predict']} predictions), {sum(row.slices for row in rows)} slices published",
        f"{sum('lost' in each for each in told)} leases lost, "
        f"{sum('ended from outside' in each for each in told)} child deaths told, "
        f"{sum('a checkpoint cannot be used' in each for each in told)} damaged checkpoints found",
        f"broken promises: {len(checks.problems)}",
    ]
    return "\n".join([*lines, *(f"  {problem}" for problem in checks.problems)])
