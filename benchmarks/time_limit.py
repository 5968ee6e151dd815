"""How much of a time limit a training takes: it should end annealed, neither late nor early.

    LSTMQ_CORPORA=FOLDER python -m benchmarks.time_limit [--seconds 60] [--rounds 3]

Letters with the `char` preset, one thread. The clock on the wall counts, as it does for the limit.
"""

import argparse
import time

from benchmarks import corpora
from benchmarks.side_by_side import Table
from lstmcore.config import resolve_config
from lstmcore.corpus import Corpus, summarize
from lstmcore.training import Trainer


def main() -> None:
    """Train some times; print the share of the limit that each took."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--seconds", type=float, default=60.0)
    parser.add_argument("--rounds", type=int, default=3)
    asked = parser.parse_args()
    corpus = Corpus("text", (corpora.read("tinyshakespeare/input.txt"),))
    table = Table(f"time limit of {asked.seconds:g} s")
    shares = [share(corpus, asked.seconds) for _ in range(asked.rounds)]
    table.add("shares taken", ", ".join(f"{each:.3f}" for each in shares))
    table.judge("least", min(shares), least=0.85)
    table.judge("most", max(shares), most=1.05)
    table.print()


def share(corpus: Corpus, seconds: float) -> float:
    """Of a time limit, what one training takes of it, from its start on."""
    requested = {"preset": "char", "training": {"max_seconds": seconds}}
    began = time.monotonic()
    trainer = Trainer.start(resolve_config(requested, summarize(corpus)), corpus, threads=1)
    for _ in trainer.run():
        pass
    if trainer.stopped != "time limit":
        raise SystemExit(
            f"{seconds:g} s are too long a limit for this text: it was {trainer.stopped}."
        )
    return (time.monotonic() - began) / seconds


if __name__ == "__main__":
    main()
