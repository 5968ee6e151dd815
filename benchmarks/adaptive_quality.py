"""What adaptive softmax costs in perplexity: WikiText-2, 2x200, both softmaxes trained alike.

    LSTMQ_CORPORA=FOLDER python -m benchmarks.adaptive_quality [--share 0.2] [--epochs 3]

`--share` of the training text is read, all of the test text is scored. With 0.2 this takes about
ten minutes of one core; 1.0 takes an hour and a half.
"""

import argparse
import sys
import time

from benchmarks import corpora
from benchmarks.side_by_side import Table
from lstmcore.config import resolve_config
from lstmcore.corpus import Corpus, summarize
from lstmcore.scoring import evaluate
from lstmcore.training import Evaluated, Trainer

MODEL = {"embed_dim": 200, "hidden_dim": 200, "layers": 2, "dropout": 0.2, "tie_weights": False}
TRAINING = {
    "batch_size": 20, "bptt": 35, "learning_rate": 2e-3, "clip_norm": 1.0, "warmup": 100,
    "validation_fraction": 0.02, "seed": 1,
}  # fmt: skip


def main() -> None:
    """Train one after the other; print test perplexities and seconds."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--share", type=float, default=0.2)
    parser.add_argument("--epochs", type=int, default=3)
    asked = parser.parse_args()
    text = corpora.read("wikitext-2/wiki.train.tokens")
    train = Corpus("text", (text[: round(len(text) * asked.share)],))
    test = Corpus("text", (corpora.read("wikitext-2/wiki.test.tokens"),))
    table = Table(f"WikiText-2, {asked.share:.0%} of it, {asked.epochs} epochs, 2x200")
    found = {}
    for softmax in ("adaptive", "full"):
        began = time.process_time()
        trainer = trained(train, softmax, asked.epochs)
        seconds = time.process_time() - began
        found[softmax] = evaluate(trainer.language_model, test).perplexity
        size = trainer.tokenizer.modelled_size
        table.add(f"{softmax}: test perplexity, vocabulary {size:,}", f"{found[softmax]:.2f}")
        table.add(f"{softmax}: training", f"{seconds:,.0f} CPU-s")
    table.judge("adaptive / full", found["adaptive"] / found["full"], most=1.02)
    table.print()


def trained(train: Corpus, softmax: str, epochs: int) -> Trainer:
    """A training that has run to its end."""
    model = {**MODEL, "softmax": softmax}
    requested = {
        "preset": "word",
        "tokenizer": {"vocab_size": 33_278, "min_count": 1},
        "model": model,
        "training": {**TRAINING, "epochs": epochs},
    }
    trainer = Trainer.start(resolve_config(requested, summarize(train)), train, threads=1)
    for event in trainer.run():
        if isinstance(event, Evaluated):
            sys.stderr.write(
                f"{softmax} {event.step} of {trainer.total_steps}: {event.perplexity}\n"
            )
    return trainer


if __name__ == "__main__":
    main()
