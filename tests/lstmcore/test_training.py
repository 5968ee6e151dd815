"""Training: stopping anywhere and going on changes nothing, to the bit."""

import math
import subprocess
import sys
from itertools import count
from pathlib import Path
from typing import Any

import pytest
import torch

from lstmcore.checkpoint import load_checkpoint
from lstmcore.config import resolve_config
from lstmcore.corpus import Corpus, summarize
from lstmcore.errors import ConfigError
from lstmcore.export import load_model
from lstmcore.progress import Progress, evaluation_interval
from lstmcore.training import Evaluated, Sampled, StepDone, Trainer
from tests.lstmcore.trainings import (
    CORPORA,
    FACTS,
    LINES,
    PAIRS,
    TEXT,
    check_resumed,
    config,
    differences,
    run_in_pieces,
    run_through,
    saved,
)

KINDS: list[tuple[str, str, dict[str, Any]]] = [
    ("text", "char", {"optimizer": "adamw", "bptt": 32, "epochs": 2}),
    ("text", "char", {"optimizer": "muon", "validation_from": "everywhere", "layers": 2}),
    ("text", "word", {"optimizer": "adam", "schedule": "constant", "warmup": 3}),
    ("text", "word", {"optimizer": "adamw", "layers": 2, "dropout": 0.4, "tie_weights": True}),
    ("text", "word", {"optimizer": "sgd", "learning_rate": 1.0, "dropout": 0.2}),
    ("lines", "word", {"optimizer": "adamw", "dropout": 0.5, "warmup": 2}),
    ("lines", "char", {"optimizer": "sgd", "validation_fraction": 0.0, "bptt": 20}),
    ("lines", "word", {"optimizer": "adam", "epochs": 40, "patience": 2, "learning_rate": 0.1}),
    ("pairs", "word", {"optimizer": "adamw", "dropout": 0.3, "batch_size": 2}),
    ("pairs", "word", {"optimizer": "adam", "schedule": "constant", "validation_fraction": 0.0}),
    ("pairs", "char", {"optimizer": "sgd", "layers": 2, "dropout": 0.1, "clip_norm": 0.0}),
    ("pairs", "subword", {"optimizer": "adamw", "batch_size": 3}),
    ("text", "word", {"softmax": "adaptive", "dropout": 0.2}),
    ("text", "word", {"softmax": "adaptive", "tie_weights": True, "optimizer": "muon"}),
    ("pairs", "subword", {"softmax": "adaptive", "optimizer": "adam"}),
    ("text", "subword", {"layers": 2, "dropout": 0.3, "locked_dropout": True}),
    ("lines", "subword", {"optimizer": "sgd", "schedule": "constant", "embedding_dropout": 0.4}),
    (
        "pairs",
        "word",
        {
            "layers": 2,
            "dropout": 0.3,
            "embedding_dropout": 0.2,
            "locked_dropout": True,
            "tie_weights": True,
        },
    ),
]


@pytest.mark.usefixtures("small_tails")
@pytest.mark.parametrize("items", [1, 4])
@pytest.mark.parametrize(("layout", "preset", "settings"), KINDS)
def test_resumed_is_uninterrupted(
    layout: str, preset: str, settings: dict[str, Any], items: int, tmp_path: Path
) -> None:
    corpus = CORPORA[layout]
    whole = check_resumed(config(corpus, preset, **settings), corpus, tmp_path, items)
    whole.write_best(tmp_path / "whole")
    for name in ("model.safetensors", "config.json", "tokenizer.json", "README.md"):
        assert (tmp_path / "best" / name).read_bytes() == (tmp_path / "whole" / name).read_bytes()


def test_one_generator_after_another_in_the_same_process_is_uninterrupted(tmp_path: Path) -> None:
    settings = config(TEXT, layers=2, dropout=0.3)
    whole, parts = Trainer.start(settings, TEXT), Trainer.start(settings, TEXT)
    told = run_through(whole)
    pieces = []
    while parts.stopped is None:
        pieces.append(next(parts.run()))
        parts.save(tmp_path / "beside.safetensors")
    assert pieces == told
    assert list(differences(saved(whole, tmp_path), saved(parts, tmp_path))) == []


def test_a_new_process_goes_on_as_the_old_one_would_have(tmp_path: Path) -> None:
    settings = config(TEXT, layers=2, dropout=0.3)
    whole, part = Trainer.start(settings, TEXT, threads=1), Trainer.start(settings, TEXT)
    run_through(whole)
    for item in part.run():
        if isinstance(item, StepDone) and item.step >= 7:
            break
    assert part.position > 0  # in the middle of an epoch
    part.save(tmp_path / "part.safetensors")
    program = (
        "import sys, pathlib; from lstmcore.training import Trainer\n"
        "from tests.lstmcore.trainings import TEXT, run_through\n"
        "folder = pathlib.Path(sys.argv[1])\n"
        "trainer = Trainer.resume(folder / 'part.safetensors', TEXT, threads=1)\n"
        "run_through(trainer); trainer.save(folder / 'end.safetensors')\n"
    )
    root = Path(__file__).parents[2]
    subprocess.run([sys.executable, "-c", program, str(tmp_path)], check=True, cwd=root)
    end = load_checkpoint(tmp_path / "end.safetensors")
    assert list(differences(saved(whole, tmp_path), end)) == []


def test_trainers_that_take_turns_do_not_disturb_each_other_nor_the_caller(tmp_path: Path) -> None:
    settings = [
        (config(TEXT, layers=2, dropout=0.3), TEXT),
        (config(PAIRS, dropout=0.5, batch_size=2), PAIRS),
        (config(LINES, dropout=0.2, seed=6), LINES),
    ]
    alone = [Trainer.start(*each) for each in settings]
    for trainer in alone:
        run_through(trainer)

    torch.manual_seed(123)
    expected = torch.rand(3)
    torch.manual_seed(123)
    together = [Trainer.start(*each) for each in settings]
    runs = [trainer.run() for trainer in together]
    while runs:
        runs = [run for run in runs if next(run, None) is not None]
    assert torch.equal(torch.rand(3), expected)
    for one, other in zip(alone, together, strict=True):
        assert list(differences(saved(one, tmp_path), saved(other, tmp_path))) == []


@pytest.mark.parametrize("layout", ["text", "lines", "pairs"])
def test_the_items_come_in_order(layout: str) -> None:
    corpus = CORPORA[layout]
    trainer = Trainer.start(config(corpus, epochs=5), corpus)
    told = run_through(trainer)
    steps = [item for item in told if isinstance(item, StepDone)]
    assert [item.step for item in steps] == list(range(1, trainer.total_steps + 1))
    assert steps[0].epoch == 1
    assert steps[-1].epoch == trainer.total_epochs == trainer.epoch == 5
    evaluations = [item for item in told if isinstance(item, Evaluated)]
    assert evaluations[-1].step == trainer.total_steps
    assert 4 <= len(evaluations) <= 30
    for before, item, after in zip(told, told[1:], [*told[2:], None], strict=False):
        if isinstance(item, Evaluated):
            assert isinstance(before, StepDone)
            assert isinstance(after, Sampled)
            assert before.step == item.step == after.step
            assert item.validation_loss is not None
            assert item.perplexity == pytest.approx(math.exp(item.validation_loss))
    assert trainer.stopped == "finished"
    assert [point["step"] for point in trainer.history] == [item.step for item in evaluations]
    losses = [item.validation_loss for item in evaluations]
    assert trainer.best_loss == min(loss for loss in losses if loss is not None)


def test_the_training_loss_is_the_mean_over_the_tokens_since_the_last_evaluation() -> None:
    total, tokens = 0.0, 0
    for item in Trainer.start(config(PAIRS, batch_size=2), PAIRS).run():
        if isinstance(item, StepDone):
            total, tokens = total + item.loss * item.tokens, tokens + item.tokens
        elif isinstance(item, Evaluated):
            assert item.train_loss == pytest.approx(total / tokens)
            total, tokens = 0.0, 0


def test_pairs_are_learned_by_heart(tmp_path: Path) -> None:
    settings = resolve_config({"preset": "word"}, summarize(PAIRS))
    trainer = Trainer.start(settings, PAIRS, threads=1)
    told = run_through(trainer)
    samples = [item.text for item in told if isinstance(item, Sampled)]
    assert samples[-1] in {f"{prompt} : {answer}" for prompt, answer in FACTS.items()}
    assert all(item.is_best for item in told if isinstance(item, Evaluated))  # nothing held out
    assert trainer.best_step == trainer.total_steps
    assert load_model(_best(trainer, tmp_path)).layout == "pairs"


def test_training_stops_early_and_keeps_the_best(tmp_path: Path) -> None:
    settings = config(LINES, epochs=200, patience=3, learning_rate=0.1, validation_fraction=0.3)
    trainer = Trainer.start(settings, LINES)
    weights = {}
    for item in trainer.run():
        if isinstance(item, Evaluated) and item.is_best:
            weights = {k: v.clone() for k, v in trainer.language_model.model.tensors().items()}
    assert trainer.stopped == "early"
    assert trainer.step < trainer.total_steps
    later = [point for point in trainer.history if point["step"] > trainer.best_step]
    assert len(later) == 3
    assert all(point["validation_loss"] >= trainer.best_loss for point in later)
    best = load_model(_best(trainer, tmp_path)).model.tensors()
    assert best.keys() == weights.keys()
    assert all(torch.equal(best[name], weights[name]) for name in best)


def test_the_learning_rate_warms_up_and_falls() -> None:
    trainer = Trainer.start(config(TEXT, warmup=5, learning_rate=0.01, epochs=8), TEXT)
    rates = [item.learning_rate for item in trainer.run() if isinstance(item, StepDone)]
    assert rates[:5] == pytest.approx([0.002, 0.004, 0.006, 0.008, 0.01])
    assert rates[5:] == sorted(rates[5:], reverse=True)
    assert 0 < rates[-1] < 0.001


@pytest.mark.parametrize("preset", ["char", "word", "subword"])
@pytest.mark.parametrize("schedule", ["cosine", "constant"])
@pytest.mark.parametrize("optimizer", ["muon", "adamw", "adam", "sgd"])
def test_every_optimizer_schedule_and_tokenizer_can_be_resumed(
    optimizer: str, schedule: str, preset: str, tmp_path: Path
) -> None:
    settings = config(
        LINES, preset, optimizer=optimizer, schedule=schedule, epochs=1, warmup=2, bptt=16
    )
    check_resumed(settings, LINES, tmp_path, 3)


def test_a_time_limit_becomes_a_number_of_steps_once(tmp_path: Path) -> None:
    settings = config(TEXT, epochs=10_000, max_seconds=1.0)
    trainer = Trainer.start(settings, TEXT)
    path = tmp_path / "timed.safetensors"
    for item in trainer.run():
        if isinstance(item, Evaluated):
            break
    trainer.save(path)
    assert load_checkpoint(
        path
    ).state.progress.timed  # nothing is evaluated before the end is known
    planned = trainer.total_steps
    assert planned < 10_000
    resumed = Trainer.resume(path, TEXT)
    assert resumed.total_steps == planned
    run_through(resumed)
    assert resumed.step == resumed.total_steps == planned
    assert resumed.stopped == "time limit"


def test_a_training_with_a_time_limit_ends_annealed(monkeypatch: pytest.MonkeyPatch) -> None:
    trainer = Trainer.start(config(TEXT, epochs=10_000, max_seconds=1.0, learning_rate=0.01), TEXT)
    ticks = count()
    monkeypatch.setattr(trainer, "_clock", lambda: 0.01 * next(ticks))  # of a step's begin and end
    rates = [item.learning_rate for item in trainer.run() if isinstance(item, StepDone)]
    assert trainer.stopped == "time limit"
    assert len(rates) == trainer.total_steps == 90
    assert rates[-1] < 0.0001
    assert rates[45] > 0.004


def test_a_generous_time_limit_changes_nothing(tmp_path: Path) -> None:
    free = Trainer.start(config(TEXT, epochs=6), TEXT)
    limited = Trainer.start(config(TEXT, epochs=6, max_seconds=3600.0), TEXT)
    run_through(free)
    run_through(limited)
    assert limited.stopped == "finished"
    one, other = saved(free, tmp_path), saved(limited, tmp_path)
    assert all(torch.equal(tensor, other.tensors[name]) for name, tensor in one.tensors.items())


def timed(total: int, seconds: list[float], limit: float) -> Progress:
    """A training's first steps, measured for as long as it wants."""
    progress = Progress(total_steps=total, timed=False)
    for number, taken in enumerate(seconds):
        if not progress.timed:
            progress.count_step(1.0, 1)
            progress.time_step(taken, limit, warm=number > 0)
    return progress


def test_speed_is_measured_without_the_first_step_and_kept() -> None:
    progress = timed(1000, [5.0] + 50 * [0.125], 50.0)
    assert progress.timed_steps == 20
    assert progress.total_steps == 360  # nine tenths of 50 s at 1/8 s a step
    assert progress.time_limited


def test_speed_is_measured_for_a_fiftieth_of_the_limit() -> None:
    """A machine that slows down after its first moments."""
    seconds = 21 * [0.125] + 1000 * [0.25]
    progress = timed(100_000, seconds, 1000.0)
    assert progress.timed
    assert progress.timed_seconds == 20.0  # 20 steps of 1/8 s, 70 of 1/4
    assert progress.total_steps == 900 * 90 // 20
    unfinished = timed(100_000, seconds[:31], 1000.0)
    assert not unfinished.timed
    assert unfinished.total_steps == 100_000
    assert unfinished.expected_steps(1000.0) == 900 * 30 // 5


def test_a_generous_limit_is_not_measured_for_long() -> None:
    progress = timed(3000, 100 * [0.125], 1000.0)
    assert (progress.timed, progress.step) == (True, 21)
    assert (progress.total_steps, progress.time_limited) == (3000, False)


def test_slow_steps_are_not_measured_until_the_time_is_up() -> None:
    progress = timed(3000, 100 * [30.0], 1000.0)
    assert (progress.timed_steps, progress.total_steps) == (4, 30)


@pytest.mark.parametrize("total", [1, 2, 3, 10, 99, 1000, 123_456])
@pytest.mark.parametrize("held_out", [0, 10, 100_000])
def test_there_are_some_evaluations_but_not_too_many(total: int, held_out: int) -> None:
    interval = evaluation_interval(total, held_out, 100.0)
    assert 1 <= interval <= total
    assert min(total, 4) <= total / interval <= 25


def test_a_text_can_be_learned_on_top_of_another(tmp_path: Path) -> None:
    first = Trainer.start(config(LINES, epochs=30, validation_fraction=0.0), LINES)
    run_through(first)
    parent = load_model(_best(first, tmp_path))
    more = Corpus("lines", ("ann sees the moon", "zoe likes the moon"))
    second = Trainer.start(config(more, validation_fraction=0.0), more, init_from=parent)
    tokens = {second.tokenizer.token(index) for index in range(second.tokenizer.vocabulary_size)}
    assert {" ann", " owl", " moon", " zoe", "<eos>"} <= tokens
    old = parent.tokenizer.encode("ann owl").ids
    new = second.tokenizer.encode("ann owl").ids
    weights, parents = second.language_model.model.tensors(), parent.model.tensors()
    assert torch.equal(weights["embedding.weight"][new], parents["embedding.weight"][old])
    assert torch.equal(weights["output.bias"][new], parents["output.bias"][old])
    knew = parents["embedding.weight"]
    moon = second.tokenizer.encode("ann moon").ids[-1]
    torch.testing.assert_close(weights["embedding.weight"][moon], knew.mean(0))
    assert torch.equal(weights["lstm.weight_hh_l0"], parents["lstm.weight_hh_l0"])
    told = run_through(second)
    whole = saved(second, tmp_path)

    again = Trainer.start(second.config, more, init_from=parent)
    assert run_in_pieces(again, more, tmp_path, 2) == told
    assert list(differences(load_checkpoint(tmp_path / "end.safetensors"), whole)) == []
    with pytest.raises(ConfigError) as caught:
        Trainer.start(config(more, hidden_dim=13), more, init_from=parent)
    assert caught.value.errors[0]["loc"] == ["model", "hidden_dim"]


def _best(trainer: Trainer, folder: Path) -> Path:
    trainer.write_best(folder / "model")
    return folder / "model"
