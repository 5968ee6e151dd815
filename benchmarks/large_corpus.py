"""A text larger than memory allows: made into token ids by the library and by `tokenizers` alone.

    python -m benchmarks.large_corpus [--megabytes 1000] [--preset word] [--folder DIR]

A text of that size is written (words of Zipf's law, a few hundred thousand different ones, in
lines). A child process does with it all that a training does before and at its start: looks at it,
learns a vocabulary, encodes it into a cache, maps the ids from there, takes steps, saves, resumes
and takes steps again. Another child only encodes the same file with the same tokenizer and throws
the ids away, as fast as `tokenizers` can. CPU seconds are of all threads together, memory is the
library's.
"""

import argparse
import json
import resource
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np

from benchmarks.side_by_side import Table

MEGABYTE = 1_000_000
DISTINCT = 400_000
WORDS_A_LINE = 12
STEPS = 10
SETTINGS = {
    "model": {"embed_dim": 64, "hidden_dim": 64, "layers": 1},
    "training": {"epochs": 1, "batch_size": 8, "bptt": 35, "validation_fraction": 0.001},
}


def main() -> None:
    """Print seconds of each part, the ratio to `tokenizers`, and the peak of memory."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--megabytes", type=int, default=1000)
    parser.add_argument("--preset", choices=("char", "word", "subword"), default="word")
    parser.add_argument("--folder", type=Path, help="where to write, instead of a temporary folder")
    parser.add_argument("--part", choices=("library", "tokenizers"), help=argparse.SUPPRESS)
    asked = parser.parse_args()
    if asked.part:
        work = library if asked.part == "library" else tokenizers_alone
        sys.stdout.write(json.dumps(work(asked.folder, asked.preset)))
        return
    with tempfile.TemporaryDirectory(dir=asked.folder) as name:
        folder = Path(name)
        write_text(folder / "text.txt", asked.megabytes * MEGABYTE)
        ours = run_child("library", folder, asked.preset)
        theirs = run_child("tokenizers", folder, asked.preset)
    report(asked.megabytes, asked.preset, ours, theirs)


def report(megabytes: int, preset: str, ours: dict[str, Any], theirs: dict[str, Any]) -> None:
    """Print the table."""
    table = Table(f"{megabytes:,} MB, preset {preset}")
    for name in ("looking", "vocabulary", "encoding", "cached", "resumed"):
        cpu, wall, peak = ours[name]
        table.add(f"{name}: CPU s / s / MB", f"{cpu:.1f} / {wall:.1f} / {peak:.0f}")
    cpu, wall, _ = theirs["encoding"]
    table.add("encoding, tokenizers alone: CPU s / s", f"{cpu:.1f} / {wall:.1f}")
    table.add("tokens", f"{ours['tokens']:,}")
    table.judge("CPU time / tokenizers", ours["encoding"][0] / cpu, most=1.25)
    table.judge("time / tokenizers", ours["encoding"][1] / wall, most=1.25)
    table.judge("peak memory", ours["peak"], most=1000, unit=" MB")
    table.print()


def run_child(part: str, folder: Path, preset: str) -> dict[str, Any]:
    """What a part measured in a process of its own."""
    command = [sys.executable, "-m", "benchmarks.large_corpus", "--part", part]
    command += ["--folder", str(folder), "--preset", preset]
    done = subprocess.run(command, stdout=subprocess.PIPE, check=True)  # noqa: S603 - our own
    found: dict[str, Any] = json.loads(done.stdout)
    return found


def peak_megabytes() -> float:
    """The most memory this process has had until now."""
    peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    return peak * (1 if sys.platform == "darwin" else 1024) / MEGABYTE


class Clock:
    """CPU seconds of all threads, seconds and the peak of memory, of one part after the other."""

    def __init__(self) -> None:
        self.parts: dict[str, tuple[float, float, float]] = {}
        self._cpu, self._wall = time.process_time(), time.monotonic()

    def note(self, name: str) -> None:
        """The part that has just ended."""
        cpu, wall = time.process_time(), time.monotonic()
        self.parts[name] = (cpu - self._cpu, wall - self._wall, peak_megabytes())
        self._cpu, self._wall = cpu, wall


def library(folder: Path, preset: str) -> dict[str, Any]:
    """Everything from the file to the steps of a training."""
    from lstmcore import CorpusFile, Trainer, resolve_config, summarize  # noqa: PLC0415
    from lstmcore.encoding import Fingerprint, encode_corpus  # noqa: PLC0415
    from lstmcore.preparation import learn_tokenizer  # noqa: PLC0415

    clock, cache = Clock(), folder / "cache"
    corpus = CorpusFile.open(folder / "text.txt", layout="text")
    config = resolve_config({"preset": preset, **SETTINGS}, summarize(corpus))
    fingerprint = Fingerprint.of(corpus)
    clock.note("looking")
    tokenizer = learn_tokenizer(config, corpus, cache=cache, fingerprint=fingerprint)
    (folder / "tokenizer.json").write_text(tokenizer.to_json())
    clock.note("vocabulary")
    ids = encode_corpus(corpus, tokenizer, cache=cache, fingerprint=fingerprint)
    clock.note("encoding")
    trainer = Trainer.start(config, corpus, threads=1, cache=cache)
    take_steps(trainer)
    trainer.save(folder / "checkpoint.safetensors")
    clock.note("cached")
    trainer = Trainer.resume(folder / "checkpoint.safetensors", corpus, cache=cache)
    take_steps(trainer)
    clock.note("resumed")
    return {**clock.parts, "peak": peak_megabytes(), "tokens": len(ids.values)}


def take_steps(trainer: Any) -> None:
    """A few steps of a training."""
    for count, _ in enumerate(trainer.run(), start=1):
        if count == STEPS:
            break


def tokenizers_alone(folder: Path, _: str) -> dict[str, Any]:
    """The same file through the same tokenizer, its ids thrown away."""
    import tokenizers  # noqa: PLC0415

    tokenizer = tokenizers.Tokenizer.from_file(str(folder / "tokenizer.json"))
    clock = Clock()
    for batch in blocks_of_lines(folder / "text.txt"):
        tokenizer.encode_batch_fast(batch, add_special_tokens=False)
    clock.note("encoding")
    return {**clock.parts}


def blocks_of_lines(path: Path) -> Iterator[list[str]]:
    """Lists of 16 blocks of whole lines, about 64 kB each."""
    batch: list[str] = []
    with path.open(encoding="utf-8") as file:
        while lines := file.readlines(1 << 16):
            batch.append("".join(lines))
            if len(batch) == 16:  # noqa: PLR2004
                yield batch
                batch = []
    yield batch


def write_text(path: Path, size: int) -> None:
    """Write lines of words; the same text for the same size."""
    random = np.random.default_rng(1)
    syllables = np.array(
        [a + b for a in "bdfghklmnprstvwz" for b in ("a", "e", "i", "o", "u", "ei")]
    )
    parts = random.integers(0, len(syllables), (DISTINCT, 4))
    lengths = random.integers(1, 5, DISTINCT)
    words = np.array(["".join(syllables[row[:n]]) for row, n in zip(parts, lengths, strict=True)])
    with path.open("w", encoding="utf-8") as file:
        while file.tell() < size:
            ranks = (random.zipf(1.2, 100_000 * WORDS_A_LINE) - 1) % DISTINCT
            lines = words[ranks].reshape(-1, WORDS_A_LINE)
            file.write("".join(f"{' '.join(line)}.\n" for line in lines.tolist()))


if __name__ == "__main__":
    main()
