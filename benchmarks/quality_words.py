"""WikiText-2 with the `word` preset at 2x200: perplexity of the test text, and what it cost.

    LSTMQ_CORPORA=FOLDER python -m benchmarks.quality_words [--epochs 12] [--checkpoint FILE]

The published tokens are learned, neither more nor fewer: every one of the 33,278 is written as a
word of letters, and the end of a line is the token it is there. The validation text follows the
training text, so that the library's own held-out part is exactly that. With `--checkpoint` it can
be stopped at any time and goes on from there.
"""

import argparse
import sys
import time
from itertools import count
from pathlib import Path
from typing import Any

from benchmarks import corpora
from benchmarks.side_by_side import Table
from lstmcore.config import TrainConfig, resolve_config
from lstmcore.corpus import Corpus, summarize
from lstmcore.scoring import evaluate
from lstmcore.training import Evaluated, Trainer

LETTERS = "abcdefghijklmnopqrstuvwxyz"
SAVE_SECONDS = 120
MODEL: dict[str, Any] = {
    "embed_dim": 200, "hidden_dim": 200, "layers": 2, "dropout": 0.2, "softmax": "adaptive",
    "tie_weights": True,
}  # fmt: skip
TRAINING: dict[str, Any] = {
    "batch_size": 32, "bptt": 48, "learning_rate": 8e-3, "warmup": 200, "patience": None,
    "validation_from": "end", "seed": 1,
}  # fmt: skip
PUBLISHED = 114.95  # pytorch/examples word_language_model, LSTM 2x200, 12 epochs


def main() -> None:
    """Train, or go on; print perplexity and time."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--epochs", type=int, default=12)
    parser.add_argument("--optimizer", default="muon")
    parser.add_argument("--checkpoint", type=Path)
    asked = parser.parse_args()
    names: dict[str, str] = {}
    train, valid, test = (spelled(part, names) for part in ("train", "valid", "test"))
    corpus = Corpus("text", (f"{train}\n{valid}",))
    config = configuration(corpus, asked, held_out=tokens_in(valid))
    if asked.checkpoint and asked.checkpoint.exists():
        trainer = Trainer.resume(asked.checkpoint, corpus, threads=1)
    else:
        trainer = Trainer.start(config, corpus, threads=1)
    seconds = run(trainer, asked.checkpoint)
    folder = (asked.checkpoint or Path("wikitext-2")).with_suffix(".model")
    trainer.write_best(folder)
    from lstmcore.export import load_model  # noqa: PLC0415

    best = load_model(folder)
    found = evaluate(best, Corpus("text", (test,)))
    table = Table("WikiText-2, 2x200")
    table.add("vocabulary", f"{best.tokenizer.vocabulary_size:,}")
    table.add("parameters", f"{best.parameters:,}")
    table.add("test tokens, unknown ones", f"{found.tokens:,}, {found.unknown}")
    table.add("epochs, steps", f"{trainer.epoch}, {trainer.step:,}")
    table.add("training here: CPU s / s", f"{seconds[0]:,.0f} / {seconds[1]:,.0f}")
    table.add("best perplexity of the validation text", f"{best_perplexity(trainer):.2f}")
    table.add("published test perplexity", f"{PUBLISHED}")
    table.judge("test perplexity", found.perplexity, most=110, unit="")
    table.print()


def spelled(part: str, names: dict[str, str]) -> str:
    """A part of the corpus with a word of letters for each token; names grow as tokens come."""
    lines = corpora.read(f"wikitext-2/wiki.{part}.tokens").split("\n")[:-1]
    numbers = count(len(names))
    found = []
    for line in lines:
        for token in line.split():
            if token not in names:
                names[token] = as_word(next(numbers))
        found.append(" ".join(names[token] for token in line.split()))
    return "\n".join(found).lstrip("\n")


def tokens_in(text: str) -> int:
    """Words and ends of lines."""
    return text.count("\n") + sum(len(line.split()) for line in text.split("\n"))


def as_word(number: int) -> str:
    """0 → a, 25 → z, 26 → ba."""
    word = ""
    while number or not word:
        number, rest = divmod(number, len(LETTERS))
        word = LETTERS[rest] + word
    return word


def configuration(corpus: Corpus, asked: argparse.Namespace, held_out: int) -> TrainConfig:
    """The `word` preset at 2x200, all words kept, the last `held_out` tokens held out."""
    fraction = (held_out + 0.5) / tokens_in(corpus.documents[0])
    requested = {
        "preset": "word",
        "tokenizer": {"vocab_size": 40_000, "min_count": 1},
        "model": MODEL,
        "training": {
            **TRAINING,
            "optimizer": asked.optimizer,
            "epochs": asked.epochs,
            "validation_fraction": fraction,
        },
    }
    return resolve_config(requested, summarize(corpus))


def run(trainer: Trainer, checkpoint: Path | None) -> tuple[float, float]:
    """Train to the end; CPU seconds and seconds of this process."""
    cpu, wall, saved = time.process_time(), time.monotonic(), time.monotonic()
    for event in trainer.run():
        if isinstance(event, Evaluated):
            sys.stderr.write(
                f"step {event.step:,} of {trainer.total_steps:,}: train {event.train_loss:.3f}, "
                f"validation perplexity {event.perplexity:.2f}, "
                f"{time.process_time() - cpu:,.0f} CPU-s\n"
            )
        if checkpoint and time.monotonic() - saved > SAVE_SECONDS:
            trainer.save(checkpoint)
            saved = time.monotonic()
    if checkpoint:
        trainer.save(checkpoint)
    return time.process_time() - cpu, time.monotonic() - wall


def best_perplexity(trainer: Trainer) -> float:
    """Of the weights that are written."""
    from lstmcore.model_card import perplexity  # noqa: PLC0415

    return perplexity(trainer.best_loss or 0.0)


if __name__ == "__main__":
    main()
