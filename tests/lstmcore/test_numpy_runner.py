"""The runner of the documentation writes what the library writes, without torch."""

import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest

from lstmcore.config import Sampling
from lstmcore.corpus import Corpus
from lstmcore.sampling import generate, load_model
from lstmcore.training import Trainer
from tests.lstmcore.trainings import CORPORA, LESSON, config, lesson_config, run_through

ROOT = Path(__file__).parents[2]
RUNNER = ROOT / "docs" / "numpy_runner.py"
TIED = {"layers": 2, "epochs": 30, "tie_weights": True}


def written_by_runner(folder: Path, prompt: str) -> str:
    command = [sys.executable, "-W", "error", str(RUNNER), str(folder), prompt]
    done = subprocess.run(command, check=True, capture_output=True, text=True, encoding="utf-8")
    return done.stdout.removesuffix("\n")


@pytest.mark.parametrize(
    ("layout", "preset", "prompt", "shape"),
    [
        ("text", "char", "The sun", {}),
        ("lines", "word", "ann sees", TIED),
        ("pairs", "subword", "who", {"epochs": 60, "hidden_dim": 32}),
    ],
)
def test_it_writes_what_the_library_writes(
    layout: str, preset: str, prompt: str, shape: dict[str, Any], tmp_path: Path
) -> None:
    corpus = CORPORA[layout]
    settings = {"epochs": 12, "learning_rate": 0.02, "validation_fraction": 0.0, **shape}
    compare(corpus, config(corpus, preset, **settings), prompt, tmp_path)


def test_it_answers_the_lesson(tmp_path: Path) -> None:
    assert compare(LESSON, lesson_config(), "what is capital of", tmp_path) == "india"


def compare(corpus: Corpus, settings: Any, prompt: str, folder: Path) -> str:
    trainer = Trainer.start(settings, corpus, threads=1)
    run_through(trainer)
    trainer.write_best(folder)
    expected = generate(load_model(folder), prompt, Sampling(temperature=0, max_tokens=64))
    text = expected["completions"][0]["text"]
    assert written_by_runner(folder, prompt) == text
    assert text
    return text


def test_it_is_short_and_needs_no_torch() -> None:
    source = RUNNER.read_text()
    assert "torch" not in source
    assert "lstmcore import" not in source
    code = [line for line in source.splitlines() if line.strip()]
    assert len(code) < 80
