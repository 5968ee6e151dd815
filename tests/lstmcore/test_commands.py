"""The command line: what was asked for on standard output, a reason and a code for what failed."""

import io
import math
import os
import signal
import subprocess
import sys
import time
from pathlib import Path
from typing import Any

import pytest
import torch

from lstmcore import training_commands
from lstmcore.commands import main
from lstmcore.corpus_file import CorpusFile
from lstmcore.export import load_model
from lstmcore.terminal import ProgressLine
from lstmcore.training import StepDone, Trainer
from tests.lstmcore.trainings import FACTS, LINES

ROOT = Path(__file__).parents[2]
FAST = ["--set", "training.epochs=60", "--set", "training.learning_rate=0.02"]
Output = pytest.CaptureFixture[str]


@pytest.fixture(scope="module")
def facts(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("facts")
    file = folder / "facts.txt"
    file.write_text("".join(f"{prompt} : {answer}\n" for prompt, answer in FACTS.items()))
    assert main(["train", str(file), "--preset", "word", *FAST]) == 0
    return folder / "facts.model"


def test_train_sample_evaluate(facts: Path, tmp_path: Path, capsys: Output) -> None:
    assert load_model(facts).layout == "pairs"
    for prompt, answer in FACTS.items():
        assert main(["sample", str(facts), prompt, "--temperature", "0"]) == 0
        assert capsys.readouterr().out == f"{answer}\n"
    assert main(["evaluate", str(facts), str(facts.with_name("facts.txt"))]) == 0
    told = capsys.readouterr().out
    assert float(told.split()[1]) < 0.2
    assert "unknown 0" in told


def test_sampling_settings_are_passed_on(facts: Path, capsys: Output) -> None:
    many = ["sample", str(facts), "who", "--n", "3", "--seed", "1", "--max-tokens", "2"]
    assert main(many) == 0
    assert capsys.readouterr().out.count("\n\n") == 2
    assert main(["sample", str(facts), "who", "--beams", "4", "--stop", "body"]) == 0
    assert capsys.readouterr().out == "no\n"
    assert main(["sample", str(facts), "who zebra", "--temperature", "0"]) == 0
    assert "unknown to the model: zebra" in capsys.readouterr().err


@pytest.mark.parametrize(
    ("arguments", "code", "reason"),
    [
        ([], 2, "COMMAND"),
        (["bake"], 2, "invalid choice"),
        (["train"], 2, "FILE"),
        (["train", "nothing.txt"], 1, "nothing.txt: No such file"),
        (["train", "some.txt", "--preset", "huge"], 2, "invalid choice"),
        (["train", "some.txt", "--set", "model.wings=2"], 2, "name of a setting"),
        (["train", "some.txt", "--set", "model.layers=99"], 2, "model.layers should be 8 or less"),
        (["train", "some.txt", "--layout", "pairs"], 1, "Line 1 is not a pair"),
        (["train", "some.txt", "--out", "full"], 2, "full is there already"),
        (["train", "empty.txt"], 1, "empty"),
        (["train", "some.txt", "--threads", "0"], 2, "--threads"),
        (["train", "full/inner"], 1, "inner: Is a directory"),
        (["sample", "nowhere", "x"], 1, "no file config.json"),
        (["sample", "nowhere", "x", "--top-p", "2"], 2, "top_p should be 1 or less"),
        (["sample", "nowhere", "x", "--top-k", "many"], 2, "invalid"),
        (["evaluate", "nowhere", "some.txt"], 1, "no file config.json"),
    ],
)
def test_mistakes_have_a_code_and_a_reason(
    arguments: list[str],
    code: int,
    reason: str,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    capsys: Output,
) -> None:
    monkeypatch.chdir(tmp_path)
    (tmp_path / "some.txt").write_text("\n".join(LINES.documents))
    (tmp_path / "empty.txt").touch()
    (tmp_path / "full").mkdir()
    (tmp_path / "full" / "inner").mkdir()
    assert main(arguments) == code
    told = capsys.readouterr()
    assert reason in told.err
    assert told.out == ""


def test_a_training_that_runs_away_keeps_the_best_before(
    tmp_path: Path, capsys: Output, monkeypatch: pytest.MonkeyPatch
) -> None:
    file = tmp_path / "some.txt"
    file.write_text("\n".join(LINES.documents * 20))
    step = Trainer._train_step

    def spoiled(trainer: Trainer) -> StepDone:
        if trainer.step == trainer.total_steps - 2:
            with torch.no_grad():
                trainer.language_model.model.output.bias[0] = math.inf
        return step(trainer)

    monkeypatch.setattr(Trainer, "_train_step", spoiled)
    held_out = ["--set", "training.validation_fraction=0.2", "--set", "training.epochs=30"]
    assert main(["train", str(file), "--preset", "word", *held_out]) == 1
    told = capsys.readouterr()
    assert "Lower the learning rate" in told.err
    assert "are kept" in told.err
    weights = load_model(Path(told.out.strip())).model.tensors()
    assert all(tensor.isfinite().all() for tensor in weights.values())


def test_a_stopped_training_goes_on_from_its_checkpoint(
    tmp_path: Path, capsys: Output, monkeypatch: pytest.MonkeyPatch
) -> None:
    file = tmp_path / "some.txt"
    file.write_text("\n".join(LINES.documents))
    command = ["train", str(file), "--preset", "word", "--cache", str(tmp_path / "cache"), *FAST]
    assert main([*command, "--out", str(tmp_path / "whole")]) == 0

    step = Trainer._train_step

    def interrupted(trainer: Trainer) -> StepDone:
        if trainer.step == 20:
            os.kill(os.getpid(), signal.SIGINT)
        return step(trainer)

    parts = [*command, "--checkpoint", str(tmp_path / "at.safetensors")]
    with monkeypatch.context() as patch:
        patch.setattr(Trainer, "_train_step", interrupted)
        assert main([*parts, "--out", str(tmp_path / "part")]) == 130
    other = ["--set", "model.layers=2", "--out", str(tmp_path / "other")]
    capsys.readouterr()
    assert main([*parts, *other]) == 2
    assert "model.layers 1, not 2" in capsys.readouterr().err
    assert main([*parts, "--out", str(tmp_path / "rest")]) == 0
    assert "going on from step 21 of" in capsys.readouterr().err
    whole, rest = (load_model(tmp_path / name).model.tensors() for name in ("whole", "rest"))
    assert all(torch.equal(whole[name], rest[name]) for name in whole)


def test_a_training_goes_on_from_another_model(facts: Path, tmp_path: Path, capsys: Output) -> None:
    file = tmp_path / "more.txt"
    file.write_text("what is the capital of chad : Ndjamena\nwho is that : somebody\n")
    command = ["train", str(file), "--init-from", str(facts), *FAST]
    assert main([*command, "--out", str(tmp_path / "more")]) == 0
    grown = load_model(tmp_path / "more")
    assert grown.tokenizer.vocabulary_size > load_model(facts).tokenizer.vocabulary_size
    assert grown.config.model == load_model(facts).config.model
    capsys.readouterr()
    assert main([*command, "--set", "model.hidden_dim=9"]) == 2
    assert "as in the model to go on from" in capsys.readouterr().err


def test_a_large_file_stays_where_it_is_and_its_ids_are_kept(
    tmp_path: Path, capsys: Output, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(training_commands, "LARGE_FILE", 100)
    monkeypatch.setattr(CorpusFile, "texts", texts := Counted(CorpusFile.texts))
    file, cache = tmp_path / "some.txt", str(tmp_path / "cache")
    file.write_text("\n".join(LINES.documents * 5))
    assert main(["encode", str(file), "--preset", "word", "--cache", cache]) == 0
    told = capsys.readouterr().out
    assert "tokens      450 in 90 documents" in told
    read = texts.calls
    assert main(["train", str(file), "--preset", "word", "--cache", cache, *FAST]) == 0
    assert texts.calls == read + 1  # to choose defaults; vocabulary and ids came from the cache
    model = str(file.with_suffix(".model"))
    assert main(["evaluate", model, str(file)]) == 0
    capsys.readouterr()
    facts = tmp_path / "facts.txt"
    facts.write_text("".join(f"{prompt} : {answer}\n" for prompt, answer in FACTS.items()))
    assert main(["encode", str(facts), "--cache", cache]) == 1
    told = capsys.readouterr()
    assert "into memory instead" in told.err
    assert "not cached" in told.err


class Counted:
    """A method that counts its calls."""

    def __init__(self, method: Any) -> None:
        self.method, self.calls = method, 0

    def __get__(self, instance: Any, _: Any = None) -> Any:
        def call() -> Any:
            self.calls += 1
            return self.method(instance)

        return call


def test_the_progress_line_is_for_terminals_only() -> None:
    class Terminal(io.StringIO):
        def isatty(self) -> bool:
            return True

    terminal, file = Terminal(), io.StringIO()
    for stream in (terminal, file):
        line = ProgressLine(stream)
        line.clear()
        line.show("step 1")
        line.show("step 2")  # too soon to be seen
        line.clear()
    assert terminal.getvalue() == "\r\x1b[Kstep 1\r\x1b[K"
    assert file.getvalue() == ""


def test_the_help_names_every_sampling_setting(capsys: Output) -> None:
    assert main(["sample", "--help"]) == 0
    told = capsys.readouterr().out
    for flag in ("--temperature", "--top-k", "--top-p", "--min-p", "--beams", "--stop", "--seed"):
        assert flag in told


def test_ctrl_c_keeps_what_was_learned(tmp_path: Path) -> None:
    file = tmp_path / "some.txt"
    file.write_text("\n".join(LINES.documents * 5))
    command = [sys.executable, "-m", "lstmcore", "train", str(file), "--preset", "word"]
    command += ["--set", "training.epochs=100000"]
    log = tmp_path / "log"
    with log.open("w") as errors:
        child = subprocess.Popen(
            command, cwd=ROOT, stdout=subprocess.PIPE, stderr=errors, text=True,
            env={**os.environ, "PYTHONUNBUFFERED": "1"},
        )  # fmt: skip
        deadline = time.monotonic() + 60
        while "parameters" not in log.read_text() and time.monotonic() < deadline:
            time.sleep(0.1)
        child.send_signal(signal.SIGINT)
        out, _ = child.communicate(timeout=60)
    assert child.returncode == 130
    assert load_model(Path(out.strip())).parameters > 0
