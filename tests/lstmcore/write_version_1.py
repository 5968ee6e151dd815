"""Writes the fixtures of format version 1: python -m tests.lstmcore.write_version_1 FOLDER

Run once, when the version was current; its output is kept in `fixtures/version-1`. A new version
of a format gets a script and a folder of its own, and the old ones stay, as what people have.
"""

import json
import sys
from pathlib import Path

import torch

from lstmcore.config import Sampling, resolve_config
from lstmcore.corpus import Corpus, summarize
from lstmcore.sampling import generate, load_model
from lstmcore.training import Trainer

LINES = ("ann sees the sea", "bob hears the owl", "ann likes the owl", "bob sees the sea") * 3
CORPUS = Corpus("lines", LINES)
PROMPTS = ("ann", "bob hears", "")
PAUSED_AT = 5  # a step inside an epoch, so that a state is carried


def main(folder: Path) -> None:
    """A checkpoint in the middle of a training, the model at its end, and what it says."""
    requested = {
        "preset": "word",
        "model": {"embed_dim": 4, "hidden_dim": 6, "layers": 2, "dropout": 0.0},
        "training": {
            "epochs": 12, "batch_size": 2, "bptt": 6, "learning_rate": 0.05, "seed": 3,
            "validation_fraction": 0.2, "patience": None, "warmup": 2,
        },
    }  # fmt: skip
    folder.mkdir(parents=True, exist_ok=True)
    trainer = Trainer.start(resolve_config(requested, summarize(CORPUS)), CORPUS, threads=1)
    for _ in trainer.run():
        if trainer.step == PAUSED_AT:
            break
    trainer.save(folder / "checkpoint.safetensors")
    for _ in trainer.run():
        pass
    trainer.write_best(folder / "model")
    lm = load_model(folder / "model")
    with torch.no_grad():
        logits = lm.model(torch.tensor([[0, 1, 2, 3]]))[0]
    expected = {
        "steps": trainer.total_steps,
        "best_loss": trainer.best_loss,
        "logits": logits.tolist(),
        "texts": {
            prompt: generate(lm, prompt, Sampling(temperature=0, max_tokens=12))["completions"][0][
                "text"
            ]
            for prompt in PROMPTS
        },
    }
    (folder / "expected.json").write_text(json.dumps(expected, indent=1) + "\n")


if __name__ == "__main__":
    main(Path(sys.argv[1]))
