"""Training speed beside a plain PyTorch loop and beside the processor's peak, on one thread.

    LSTMQ_CORPORA=FOLDER python -m benchmarks.training [NAME ...]

Both learn from the same batches of WikiText-2 (words) or Tiny Shakespeare (characters), the library
through its `Trainer`. Rivals take turns; times are CPU times. The peak is that of a product of two
1024 x 1024 matrices in float32, measured in the same rounds; operations are those of the matrix
products (6 for each weight and token), so everything else counts as loss. The products of a step
have other shapes, some of them 20 rows high; "bare products" are these and nothing else, into
memory that is there: no training that uses this library of products in float32 can be faster.
Where the processor has units for bfloat16 (AMX), "ours" learns in mixed precision, and "float32" is
ours without.
"""

import statistics
import sys
from collections.abc import Callable
from dataclasses import dataclass
from itertools import count

import torch

from benchmarks import corpora
from benchmarks.plain_loop import CLIP, DROPOUT, PlainLoop, PlainModel
from benchmarks.side_by_side import Table, take_turns, times_as_fast
from lstmcore.config import resolve_config
from lstmcore.corpus import Corpus, summarize
from lstmcore.precision import HAS_UNITS
from lstmcore.shapes import rows_at_once
from lstmcore.training import StepDone, Trainer

RATE = 1e-3
SQUARE = 1024
TEXT_CHARACTERS = {"word": 11_000_000, "char": 400_000}


@dataclass(frozen=True)
class Case:
    """One configuration and what is to be reached with it."""

    vocabulary: int
    hidden: int
    layers: int
    batch: int = 20
    bptt: int = 35
    level: str = "word"
    optimizer: str = "sgd"
    softmax: str = "full"
    rounds: int = 9
    of_peak: float | None = None  # at least this share
    of_loop: float = 1.0  # at least so many times as fast


CASES = {
    "words-10k": Case(10_000, 200, 2, of_peak=0.75),
    "words-30k": Case(30_000, 200, 2, of_peak=0.65, of_loop=1.4),
    "words-33k-adamw": Case(33_278, 200, 2, optimizer="adamw"),
    "words-10k-650": Case(10_000, 650, 2, rounds=5),
    "words-2k": Case(2_000, 256, 1, batch=32, optimizer="adamw"),
    "characters": Case(8_000, 256, 1, 32, 64, "char", "adamw"),
    "characters-small": Case(8_000, 128, 1, 16, 64, "char", "adamw", rounds=15),
    "adaptive-33k": Case(33_278, 200, 2, softmax="adaptive", of_loop=5.5),
    "adaptive-33k-adamw": Case(33_278, 200, 2, optimizer="adamw", softmax="adaptive", of_loop=5.5),
}


def main() -> None:
    """Print a table for all cases, or for those that are named."""
    torch.set_num_threads(1)
    unknown = set(sys.argv[1:]) - CASES.keys()
    if unknown:
        sys.exit(f"There is no {min(unknown)}; choose among {', '.join(CASES)}.")
    for name in sys.argv[1:] or CASES:
        report(name, CASES[name])


def report(name: str, case: Case) -> None:
    """Measure one case in turns and print."""
    trainer = training(case)
    size = trainer.tokenizer.modelled_size
    torch.manual_seed(0)
    dropout = DROPOUT if case.layers > 1 else 0.0
    plain = PlainLoop(
        PlainModel(size, case.hidden, case.layers, dropout), case.batch, case.optimizer, RATE
    )
    batches = trainer._state.batches  # the very batches the library gets
    positions = count()

    def plain_step() -> None:
        batch = batches.batch(0, next(positions))
        plain.step(batch.inputs, batch.targets)

    left, right = torch.randn(2, SQUARE, SQUARE)
    product = torch.empty(SQUARE, SQUARE)
    rivals: dict[str, Callable[[], object]] = {
        "plain": plain_step,
        "ours": steps(trainer),
        "peak": lambda: torch.mm(left, right, out=product),
    }
    if HAS_UNITS:
        rivals["float32"] = steps(training(case, precision="float32"))
    if case.softmax == "full":
        rivals["products"] = bare_products(case, size)
    seconds = take_turns(rivals, case.rounds, warm_up=2)
    tokens = batches.batch(0, 0).tokens
    weights = size * case.hidden + case.layers * 8 * case.hidden**2
    peak = 2 * SQUARE**3 / statistics.median(seconds["peak"])  # operations a second
    table = Table(f"{name}: {case.layers}x{case.hidden}, vocabulary {size:,}, {case.optimizer}")
    for rival in ("plain", "ours", "float32", "products"):
        if rival not in seconds:
            continue
        speed = tokens / statistics.median(seconds[rival])
        table.add(f"{rival}: tokens/s", f"{speed:,.0f}")
        share = 100 * 6 * weights * speed / peak
        if rival == "ours" and case.of_peak is not None:
            table.judge("ours: of the peak", share, least=100 * case.of_peak, unit=" %")
        elif case.softmax == "full":
            table.add(f"{rival}: of the peak", f"{share:.0f} %")
    if "products" in seconds:
        share = 100 * times_as_fast(seconds, "ours", "products")
        table.add("ours: of the bare products", f"{share:.0f} %")
    table.add("peak, 10^9 operations/s", f"{peak / 1e9:.0f}")
    table.judge("ours / plain", times_as_fast(seconds, "ours", "plain"), least=case.of_loop)
    if "float32" in seconds:
        table.add("float32 / plain", f"{times_as_fast(seconds, 'float32', 'plain'):.2f}x")
    table.print()


def bare_products(case: Case, vocabulary: int) -> Callable[[], None]:
    """The matrix products of a step, forward and backward, without anything between them."""
    rows, hidden, gates = case.batch * case.bptt, case.hidden, 4 * case.hidden

    def of(m: int, k: int, n: int) -> Callable[[], object]:
        left, right, out = torch.randn(m, k), torch.randn(k, n), torch.empty(m, n)
        return lambda: torch.mm(left, right, out=out)

    chunk = min(rows, rows_at_once(vocabulary))  # rows whose logits are held at a time
    output = [of(chunk, hidden, vocabulary), of(chunk, vocabulary, hidden),
              of(vocabulary, chunk, hidden)]  # fmt: skip
    layer = [of(rows, hidden, gates), of(rows, gates, hidden), of(gates, rows, hidden),
             of(gates, rows, hidden)]  # fmt: skip
    token = [of(case.batch, hidden, gates), of(case.batch, gates, hidden)]

    def work() -> None:
        for product in output * round(rows / chunk) + layer * case.layers:
            product()
        for product in token * (case.layers * case.bptt):
            product()

    return work


def training(case: Case, threads: int = 1, precision: str = "auto") -> Trainer:
    """A training of that shape before its first step."""
    name = "wikitext-2/wiki.train.tokens" if case.level == "word" else "tinyshakespeare/input.txt"
    text = Corpus("text", (corpora.read(name)[: TEXT_CHARACTERS[case.level]],))
    model = {
        "embed_dim": case.hidden, "hidden_dim": case.hidden, "layers": case.layers,
        "dropout": DROPOUT if case.layers > 1 else 0.0,
        "tie_weights": False, "softmax": case.softmax,
    }  # fmt: skip
    requested = {
        "preset": case.level,
        "tokenizer": {"vocab_size": case.vocabulary, "min_count": 1},
        "model": model,
        "training": {
            "batch_size": case.batch, "bptt": case.bptt, "optimizer": case.optimizer,
            "learning_rate": RATE, "schedule": "constant", "clip_norm": CLIP, "epochs": 100,
            "validation_fraction": 0.0, "precision": precision,
        },
    }  # fmt: skip
    return Trainer.start(resolve_config(requested, summarize(text)), text, threads=threads)


def steps(trainer: Trainer) -> Callable[[], object]:
    """One step of the trainer a call."""
    events = trainer.run()
    return lambda: next(event for event in events if isinstance(event, StepDone))


if __name__ == "__main__":
    main()
