"""Shakespeare's letters: nats a character on the last tenth, beside a small GPT, at equal CPU time.

    LSTMQ_CORPORA=FOLDER python -m benchmarks.quality_characters [--seeds 1] [--only gpt default]

Trainings on the first nine tenths, on one thread: nanoGPT's configuration for CPUs
(`benchmarks.small_gpt`), the `char` preset given the CPU time that the GPT took, the preset as it
is, and the preset given four times that time. The library's models read the last tenth once, from
its start to its end, with the state carried on. Nothing was chosen on that tenth. Time is CPU time
of the training with all that belongs to it.
"""

import argparse
import statistics
import sys
import time

import torch
from torch.nn import functional

from benchmarks import corpora, small_gpt
from benchmarks.side_by_side import Table
from lstmcore.config import resolve_config
from lstmcore.corpus import Corpus, summarize
from lstmcore.export import LanguageModel
from lstmcore.training import Trainer

GPT, EQUAL, DEFAULT, LONGER = RIVALS = ("gpt", "equal", "default", "longer")
TIMES = {EQUAL: 1, LONGER: 4}  # the GPT's time
REACH = {EQUAL: 1.58, LONGER: 1.50}  # nats a character
WINDOW = 512
Found = dict[str, list[tuple[float, float]]]  # (nats a character, CPU seconds) of each seed


def main() -> None:
    """Print what each reached in which time."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--seeds", type=int, default=1)
    parser.add_argument("--only", nargs="+", choices=RIVALS, default=list(RIVALS))
    parser.add_argument("--seconds", type=float, help="the GPT's CPU time, where it is left out")
    asked = parser.parse_args()
    torch.set_num_threads(1)
    text = corpora.read("tinyshakespeare/input.txt")
    cut = len(text) * 9 // 10
    train, held_out = Corpus("text", (text[:cut],)), text[cut:]
    found: Found = {name: [] for name in RIVALS}
    for seed in range(asked.seeds):
        for name in asked.only:
            limit = statistics.median([s for _, s in found[GPT]] or [asked.seconds or 0.0])
            loss, seconds = (
                of_gpt(train, held_out, seed)
                if name == GPT
                else of_library(train, held_out, seed, TIMES.get(name, 0) * limit)
            )
            found[name].append((loss, seconds))
            sys.stderr.write(f"{name}, seed {seed}: {loss:.4f} nats, {seconds:.0f} CPU-s\n")
    report(found)


def report(found: Found) -> None:
    """The table: medians over the seeds."""
    table = Table("last tenth of tiny-shakespeare")
    middle = {
        name: tuple(statistics.median(column) for column in zip(*values, strict=True))
        for name, values in found.items()
        if values
    }
    for name, (loss, seconds) in middle.items():
        table.add(f"{name}: nats a character, CPU s", f"{loss:.4f}, {seconds:.0f}")
    for name, most in REACH.items():
        if name in middle:
            table.judge(f"{name}: nats a character", middle[name][0], most=most, unit="")
        if name in middle and GPT in middle:
            times = middle[name][1] / middle[GPT][1]
            table.judge(f"{name}: CPU time / the GPT's", times, most=TIMES[name])
    table.print()


def of_gpt(train: Corpus, held_out: str, seed: int) -> tuple[float, float]:
    """Loss and CPU seconds of the small GPT."""
    letters = {
        letter: at for at, letter in enumerate(sorted(set(train.documents[0]) | set(held_out)))
    }
    ids, later = (
        torch.tensor([letters[letter] for letter in part])
        for part in (train.documents[0], held_out)
    )
    began = time.process_time()
    model = small_gpt.train(ids, len(letters), seed)
    seconds = time.process_time() - began
    return small_gpt.held_out_loss(model, later), seconds


def of_library(train: Corpus, held_out: str, seed: int, limit: float) -> tuple[float, float]:
    """Loss and CPU seconds of the `char` preset, planned for `limit` seconds if that is not 0."""
    training = {"seed": seed, "max_seconds": limit or None}
    config = resolve_config({"preset": "char", "training": training}, summarize(train))
    began = time.process_time()
    trainer = Trainer.start(config, train, threads=1)
    trainer._clock = time.process_time  # the limit counts CPU time: the machine is shared
    for _ in trainer.run():
        pass
    seconds = time.process_time() - began
    weights = trainer._state.best  # what write_best writes
    if weights is not None:
        trainer.language_model.model.load_tensors(weights)
    model = trainer.config.model
    sys.stderr.write(
        f"{model.hidden_dim} cells, dropout {model.dropout}, {trainer.epoch} epochs, "
        f"on its own held-out part {trainer.best_loss:.4f}, "
        f"best at step {trainer.best_step:,} of {trainer.total_steps:,}\n"
    )
    return read_once(trainer.language_model, held_out), seconds


@torch.inference_mode()
def read_once(lm: LanguageModel, text: str) -> float:
    """Nats a character of a text read from start to end, the state carried on."""
    ids = torch.tensor(lm.tokenizer.encode_batch([text])[0])
    state, total = None, 0.0
    for start in range(0, len(ids) - 1, WINDOW):
        window = ids[start : start + WINDOW + 1]
        logits, state = lm.model(window[None, :-1], state)  # (1, T, V)
        total += functional.cross_entropy(logits[0], window[1:], reduction="sum").item()
    return total / (len(ids) - 1)


if __name__ == "__main__":
    main()
