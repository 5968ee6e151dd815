"""Trainings on texts and settings that cannot work well: what is refused, and what goes on."""

import math
from pathlib import Path

import pytest
import torch

from lstmcore.batches import held_out
from lstmcore.config import Sampling
from lstmcore.corpus import Corpus
from lstmcore.errors import TrainingError
from lstmcore.sampling import generate
from lstmcore.training import StepDone, Trainer
from tests.lstmcore.trainings import LINES, TEXT, config, differences, run_through, saved


@pytest.mark.parametrize("text", ["a", "hi", "one two", "a line\nand another"])
@pytest.mark.parametrize("preset", ["char", "word", "subword"])
def test_a_text_shorter_than_a_batch_trains(text: str, preset: str) -> None:
    for corpus in (Corpus("text", (text,)), Corpus("lines", tuple(text.split("\n")))):
        trainer = Trainer.start(config(corpus, preset, batch_size=64, bptt=100), corpus)
        assert all(math.isfinite(item.loss) for item in trainer.run() if isinstance(item, StepDone))
        assert trainer.stopped == "finished"


def test_a_training_that_runs_away_says_what_to_do_and_spoils_nothing(tmp_path: Path) -> None:
    settings = config(TEXT, optimizer="sgd", learning_rate=100, clip_norm=0.0, epochs=300)
    trainer = Trainer.start(settings, TEXT)
    with torch.no_grad():
        trainer.language_model.model.output.bias[0] = math.inf
    before = trainer.language_model.model.output.weight.clone()
    with pytest.raises(TrainingError) as caught:
        run_through(trainer)
    assert "learning rate" in caught.value.advice
    assert torch.equal(trainer.language_model.model.output.weight, before)
    trainer.save(tmp_path / "kept.safetensors")
    again = Trainer.resume(tmp_path / "kept.safetensors", TEXT)
    assert again.step == trainer.step == 0
    assert torch.equal(again.language_model.model.output.weight, before)


def test_what_was_learned_before_a_training_ran_away_can_go_on(tmp_path: Path) -> None:
    settings = config(LINES, layers=2, dropout=0.3, epochs=4)
    whole, hurt = Trainer.start(settings, LINES, threads=1), Trainer.start(settings, LINES)
    run_through(whole)
    run = hurt.run()
    while hurt.step < 6:
        next(run)
    bias = hurt.language_model.model.output.bias
    sound = bias.detach().clone()
    with torch.no_grad():
        bias[0] = math.inf
    with pytest.raises(TrainingError):
        list(run)
    with torch.no_grad():
        bias.copy_(sound)
    hurt.save(tmp_path / "kept.safetensors")
    rest = Trainer.resume(tmp_path / "kept.safetensors", LINES)
    run_through(rest)  # as if nothing had happened: not even a random number was used
    assert list(differences(saved(whole, tmp_path), saved(rest, tmp_path))) == []


@pytest.mark.parametrize("where", ["in running text", "in lines"])
def test_held_out_text_of_unknown_words_alone_is_refused(where: str) -> None:
    frequent, rare = ["a"] * 40, [f"rare{number}" for number in range(10)]
    corpus = Corpus("text", (" ".join(frequent + rare),))
    if where == "in lines":  # those that are held out are always the same
        _, chosen = held_out(50, 0.2, 5)
        corpus = Corpus("lines", tuple(f"rare{n}" if n in chosen else "a" for n in range(50)))
    asked = config(corpus)
    tokenizer = asked.tokenizer.model_copy(update={"min_count": 2})
    asked = asked.model_copy(update={"tokenizer": tokenizer})
    with pytest.raises(TrainingError, match="held-out") as caught:
        Trainer.start(asked, corpus)
    assert "min_count" in caught.value.advice
    training = asked.training.model_copy(update={"validation_fraction": 0.0})
    Trainer.start(asked.model_copy(update={"training": training}), corpus)


@pytest.mark.parametrize("preset", ["char", "word"])
def test_a_vocabulary_of_one_is_learned(preset: str) -> None:
    same = Corpus("text", ("a" * 300 if preset != "word" else "a " * 149 + "a",))
    trainer = Trainer.start(config(same, preset, epochs=30, learning_rate=0.02), same, threads=1)
    losses = [item.loss for item in run_through(trainer) if isinstance(item, StepDone)]
    assert losses[-1] < 0.3 < losses[0]
    written = generate(trainer.language_model, "a", Sampling(temperature=0, max_tokens=5))
    assert set(written["completions"][0]["text"]) <= {"a", " "}
