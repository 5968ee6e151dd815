"""Small trainings of every kind, and what two equal ones have in common."""

from collections.abc import Iterator
from pathlib import Path
from typing import Any

import torch

from lstmcore.checkpoint import Checkpoint, load_checkpoint
from lstmcore.config import ModelConfig, TrainConfig, resolve_config
from lstmcore.corpus import Corpus, summarize
from lstmcore.training import Trainer
from lstmcore.training_events import Event

TEXT = Corpus(
    "text",
    (
        "The sun rose over the hill and the hill rose over the sea.\n"
        "Nobody saw the sun but the sea saw everybody, and the hill said nothing.\n" * 4,
    ),
)
LINES = Corpus(
    "lines",
    tuple(
        f"{who} {does} the {what}"
        for who in ("ann", "bob", "cy")
        for does in ("sees", "likes", "hears")
        for what in ("sea", "owl")
    ),
)
FACTS = {
    "what is the capital of france": "Paris",
    "what is the capital of peru": "Lima",
    "what is the capital of new zealand": "Wellington",
    "what is the colour of snow": "white",
    "what is the colour of the sea": "deep blue",
    "how many legs has a spider": "eight",
    "who": "nobody",
}
PAIRS = Corpus("pairs", tuple(FACTS), tuple(FACTS.values()))
LESSON = Corpus("lines", ("what is your name : Jay", "what is capital of India : Delhi", "ok"))
CORPORA = {"text": TEXT, "lines": LINES, "pairs": PAIRS}


def config(corpus: Corpus, preset: str = "word", **settings: Any) -> TrainConfig:
    """A tiny network and a few epochs; `settings` go to the model or the training."""
    model: dict[str, Any] = {"embed_dim": 8, "hidden_dim": 12, "layers": 1, "dropout": 0.0}
    training: dict[str, Any] = {
        "epochs": 3, "batch_size": 4, "bptt": 7, "validation_fraction": 0.2,
        "validation_from": "end", "seed": 5,
    }  # fmt: skip
    for name, value in settings.items():
        place = model if name in ModelConfig.model_fields else training
        place[name] = value
    return resolve_config(
        {"preset": preset, "model": model, "training": training}, summarize(corpus)
    )


def lesson_config(**training: Any) -> TrainConfig:
    """The tutorial's recipe."""
    return resolve_config({"preset": "tutorial", "training": training}, summarize(LESSON))


def run_through(trainer: Trainer) -> list[Event]:
    """Everything the training says until it ends."""
    return list(trainer.run())


def run_in_pieces(trainer: Trainer, corpus: Corpus, folder: Path, items: int) -> list[Event]:
    """The same, saved and resumed from the file after every `items` items."""
    told: list[Event] = []
    path = folder / "piece.safetensors"
    while trainer.stopped is None:
        for count, item in enumerate(trainer.run(), start=1):
            told.append(item)
            if count == items:
                break
        trainer.save(path)
        trainer = Trainer.resume(path, corpus)
    trainer.save(folder / "end.safetensors")
    trainer.write_best(folder / "best")
    return told


def check_resumed(settings: TrainConfig, corpus: Corpus, folder: Path, items: int) -> Trainer:
    """Train in one piece and in pieces of so many items, which must be the same; the former."""
    whole = Trainer.start(settings, corpus, threads=1)
    told = run_through(whole)
    assert run_in_pieces(Trainer.start(settings, corpus), corpus, folder, items) == told
    end, expected = folder / "end.safetensors", saved(whole, folder)
    assert list(differences(expected, load_checkpoint(end))) == []
    assert list(differences(expected, saved(Trainer.resume(end, corpus), folder))) == []
    return whole


def saved(trainer: Trainer, folder: Path) -> Checkpoint:
    """What the training's checkpoint holds."""
    path = folder / "saved.safetensors"
    trainer.save(path)
    return load_checkpoint(path)


def differences(one: Checkpoint, other: Checkpoint) -> Iterator[str]:
    """Names of what is not the same to the bit."""
    if one.state != other.state:
        yield "state"
    for name in sorted(one.tensors.keys() | other.tensors.keys()):
        if name not in one.tensors or name not in other.tensors:
            yield f"{name} is missing"
        elif not torch.equal(one.tensors[name], other.tensors[name]):
            yield name
