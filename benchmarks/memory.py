"""Peak memory of training with a large vocabulary, beside a plain PyTorch loop.

    python -m benchmarks.memory

Each trains in a process of its own (33,278 words, 2x200, 64 streams, BPTT 70, AdamW, four steps)
and says the largest resident memory it had. What torch itself takes is in both.
"""

import random
import resource
import subprocess
import sys

VOCABULARY, HIDDEN, LAYERS, BATCH, BPTT, STEPS = 33_278, 200, 2, 64, 70, 4
MIB = 2**20


def main() -> None:
    """Print both peaks and their ratio; with an argument, be one of the two."""
    if len(sys.argv) > 1:
        {"plain": plain, "library": library}[sys.argv[1]]()
        peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
        sys.stdout.write(str(peak if sys.platform == "darwin" else peak * 1024))
        return
    from benchmarks.side_by_side import Table  # noqa: PLC0415

    table = Table("training at vocabulary 33k, batch 64, BPTT 70")
    peaks = {}
    for name in ("plain", "library"):
        command = [sys.executable, "-m", "benchmarks.memory", name]
        done = subprocess.run(command, check=True, capture_output=True, text=True)  # noqa: S603
        peaks[name] = int(done.stdout)
        table.add(f"{name}: peak", f"{peaks[name] / MIB:,.0f} MiB")
    table.judge("library / plain", peaks["library"] / peaks["plain"], most=0.5)
    table.print()


def plain() -> None:
    """The loop by hand."""
    import torch  # noqa: PLC0415

    from benchmarks.plain_loop import PlainLoop, PlainModel  # noqa: PLC0415

    torch.set_num_threads(1)
    loop = PlainLoop(PlainModel(VOCABULARY, HIDDEN, LAYERS), BATCH, "adamw", 1e-3)
    for _ in range(STEPS):
        ids = torch.randint(VOCABULARY, (BATCH, BPTT + 1))
        loop.step(ids[:, :-1], ids[:, 1:])


def library() -> None:
    """The library's trainer."""
    from lstmcore.config import resolve_config  # noqa: PLC0415
    from lstmcore.corpus import Corpus, summarize  # noqa: PLC0415
    from lstmcore.training import StepDone, Trainer  # noqa: PLC0415

    words = [f"w{number}" for number in range(VOCABULARY - 4)]
    text = [*words, *random.Random(0).choices(words, k=STEPS * 2 * BATCH * BPTT)]  # noqa: S311
    corpus = Corpus("text", (" ".join(text),))
    requested = {
        "preset": "word",
        "tokenizer": {"vocab_size": VOCABULARY, "min_count": 1},
        "model": {
            "embed_dim": HIDDEN, "hidden_dim": HIDDEN, "layers": LAYERS, "dropout": 0.2,
            "tie_weights": False,
        },
        "training": {"batch_size": BATCH, "bptt": BPTT, "validation_fraction": 0.0, "epochs": 1},
    }  # fmt: skip
    trainer = Trainer.start(resolve_config(requested, summarize(corpus)), corpus, threads=1)
    done = (event for event in trainer.run() if isinstance(event, StepDone))
    for _ in range(STEPS):
        next(done)


if __name__ == "__main__":
    main()
