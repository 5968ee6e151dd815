"""Checkpoints and model folders: whole or refused, never half loaded, never a crash."""

import json
import random
import struct
import zlib
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

import pytest
import torch
from safetensors.torch import save_file

from lstmcore.checkpoint import Checkpoint, load_checkpoint, save_checkpoint, write_tensors
from lstmcore.corpus import Corpus
from lstmcore.errors import CheckpointError
from lstmcore.export import load_model
from lstmcore.model_check import check_model_folder
from lstmcore.model_record import FILES
from lstmcore.training import Evaluated, StepDone, Trainer
from tests.lstmcore.trainings import LESSON, TEXT, config, lesson_config, run_through

Change = Callable[[Checkpoint], Checkpoint]


@pytest.fixture(scope="module")
def path(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A checkpoint in the middle of an epoch, with the best weights apart."""
    trainer = Trainer.start(config(TEXT, epochs=6, layers=2, learning_rate=0.3), TEXT)
    for item in trainer.run():
        apart = isinstance(item, StepDone) and trainer.history and trainer.best_step < trainer.step
        if apart and trainer.position > 0:
            break
    path = tmp_path_factory.mktemp("checkpoint") / "good.safetensors"
    trainer.save(path)
    return path


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A model folder."""
    trainer = Trainer.start(config(TEXT, epochs=1), TEXT)
    run_through(trainer)
    folder = tmp_path_factory.mktemp("model")
    trainer.write_best(folder)
    return folder


def test_it_holds_all_kinds_of_tensors(path: Path) -> None:
    tensors = load_checkpoint(path).tensors
    kinds = {name.partition(".")[0] for name in tensors}
    assert kinds == {"model", "optimizer", "best", "carried", "rng"}
    assert Trainer.resume(path, TEXT).step == load_checkpoint(path).state.progress.step


def test_the_best_weights_are_stored_only_when_they_are_others(tmp_path: Path) -> None:
    trainer = Trainer.start(config(TEXT), TEXT)
    for item in trainer.run():
        if isinstance(item, Evaluated):
            break
    trainer.save(tmp_path / "at.safetensors")
    assert load_checkpoint(tmp_path / "at.safetensors").part("best") == {}
    resumed = Trainer.resume(tmp_path / "at.safetensors", TEXT)
    next(resumed.run())  # the sample
    next(resumed.run())  # a step: the weights move on, the best stay
    resumed.save(tmp_path / "after.safetensors")
    after = load_checkpoint(tmp_path / "after.safetensors")
    assert after.part("best").keys() == after.part("model").keys()
    before = load_checkpoint(tmp_path / "at.safetensors").part("model")
    assert all(torch.equal(before[name], tensor) for name, tensor in after.part("best").items())


def test_a_cut_file_is_refused(path: Path, tmp_path: Path) -> None:
    data = path.read_bytes()
    cut = tmp_path / "cut.safetensors"
    for length in [0, 1, 7, 8, 9, 100, len(data) // 2, len(data) - 1]:
        cut.write_bytes(data[:length])
        with pytest.raises(CheckpointError):
            Trainer.resume(cut, TEXT)


def test_a_changed_byte_is_noticed(path: Path, tmp_path: Path) -> None:
    data = path.read_bytes()
    header = 8 + struct.unpack("<Q", data[:8])[0]
    places = random.Random(3)  # noqa: S311 - no secret
    chosen = [*range(8), *(places.randrange(header) for _ in range(150))]
    chosen += [places.randrange(header, len(data)) for _ in range(100)]
    changed = tmp_path / "changed.safetensors"
    for place in chosen:
        flipped = bytearray(data)
        flipped[place] ^= 1 << places.randrange(8)
        changed.write_bytes(flipped)
        with pytest.raises(CheckpointError):
            Trainer.resume(changed, TEXT)


def test_other_files_are_refused(path: Path, tmp_path: Path) -> None:
    other = tmp_path / "other.safetensors"
    with pytest.raises(CheckpointError, match="no file"):
        Trainer.resume(other, TEXT)
    save_file({"a": torch.zeros(2)}, other)
    with pytest.raises(CheckpointError, match="not a checkpoint"):
        Trainer.resume(other, TEXT)
    torch.save({"a": torch.zeros(2)}, other)
    with pytest.raises(CheckpointError):
        Trainer.resume(other, TEXT)
    with pytest.raises(CheckpointError):
        Trainer.resume(tmp_path, TEXT)


def test_another_corpus_is_refused(path: Path) -> None:
    with pytest.raises(CheckpointError, match="another text"):
        Trainer.resume(path, Corpus("text", (TEXT.documents[0] + "!",)))
    with pytest.raises(CheckpointError, match="another text"):
        Trainer.resume(path, Corpus("lines", TEXT.documents))


def test_a_newer_format_is_refused_by_name(path: Path, tmp_path: Path) -> None:
    newer = tmp_path / "newer.safetensors"
    write_tensors({}, newer, {"format": "lstmq checkpoint", "format_version": "2"})
    with pytest.raises(CheckpointError, match="newer version"):
        load_checkpoint(newer)
    for strange in ("", "-1", "x", "9" * 50):
        write_tensors({}, newer, {"format": "lstmq checkpoint", "format_version": strange})
        with pytest.raises(CheckpointError):
            load_checkpoint(newer)


def _with(**tensors: torch.Tensor | None) -> Change:
    def change(checkpoint: Checkpoint) -> Checkpoint:
        merged = checkpoint.tensors | {name.replace("__", "."): t for name, t in tensors.items()}
        return replace(checkpoint, tensors={k: v for k, v in merged.items() if v is not None})

    return change


def _progress(**values: object) -> Change:
    def change(checkpoint: Checkpoint) -> Checkpoint:
        progress = checkpoint.state.progress.model_copy(update=values)
        return replace(checkpoint, state=checkpoint.state.model_copy(update={"progress": progress}))

    return change


HOSTILE: dict[str, Change] = {
    "missing weight": _with(model__lstm__weight_ih_l0=None),
    "extra tensor": _with(model__evil=torch.zeros(1)),
    "extra kind": _with(evil=torch.zeros(1)),
    "weight of another shape": _with(model__embedding__weight=torch.zeros(3, 8)),
    "weight of another type": _with(model__output__bias=torch.zeros(1, dtype=torch.float64)),
    "missing best": _with(best__output__bias=None),
    "missing optimizer": _with(optimizer__output__bias__exp_avg=None),
    "negative variance": _with(optimizer__lstm__bias_hh_l0__exp_avg_sq=torch.full((48,), -1.0)),
    "missing state": _with(carried__c=None),
    "state of another batch": _with(carried__h=torch.zeros(2, 5, 12)),
    "missing random numbers": _with(rng=None),
    "random numbers too short": _with(rng=torch.zeros(7, dtype=torch.uint8)),
    "random numbers of nothing": _with(rng=torch.zeros(5056, dtype=torch.uint8)),
    "random numbers of another type": _with(rng=torch.zeros(5056)),
    "random numbers of the tutorial": _with(rng_epoch=torch.zeros(5056, dtype=torch.uint8)),
    "more steps than planned": _progress(step=10**9),
    "at the start": _progress(step=0, history=[], best_step=None, sampled_step=0),
    "nothing evaluated": _progress(history=[]),
}


@pytest.mark.parametrize("what", HOSTILE)
def test_what_does_not_fit_together_is_refused(what: str, path: Path, tmp_path: Path) -> None:
    hostile = tmp_path / "hostile.safetensors"
    save_checkpoint(HOSTILE[what](load_checkpoint(path)), hostile)
    with pytest.raises(CheckpointError):
        Trainer.resume(hostile, TEXT)


@pytest.mark.parametrize("state", ["", "null", "[]", "{", '{"config": 1}', "[" * 100_000])
def test_a_damaged_record_is_refused(state: str, tmp_path: Path) -> None:
    damaged = tmp_path / "damaged.safetensors"
    crc = f"{zlib.crc32(state.encode()):08x}"
    metadata = {"format": "lstmq checkpoint", "format_version": "1", "state": state, "crc32": crc}
    write_tensors({}, damaged, metadata)
    with pytest.raises(CheckpointError, match="damaged"):
        load_checkpoint(damaged)


def test_a_write_that_fails_leaves_the_old_file(path: Path, tmp_path: Path) -> None:
    target = tmp_path / "kept.safetensors"
    target.write_bytes(path.read_bytes())
    shared = torch.zeros(4)
    with pytest.raises(RuntimeError):  # the format has no tensors that share memory
        write_tensors({"a": shared, "b": shared[1:]}, target)
    assert target.read_bytes() == path.read_bytes()
    assert list(tmp_path.iterdir()) == [target]


def test_the_order_of_the_tutorial_needs_its_random_numbers(tmp_path: Path) -> None:
    trainer = Trainer.start(lesson_config(), LESSON)
    next(trainer.run())
    trainer.save(tmp_path / "lesson.safetensors")
    broken = _with(rng_epoch=None)(load_checkpoint(tmp_path / "lesson.safetensors"))
    save_checkpoint(broken, tmp_path / "lesson.safetensors")
    with pytest.raises(CheckpointError, match="random numbers"):
        Trainer.resume(tmp_path / "lesson.safetensors", LESSON)


def test_a_model_folder_is_complete_and_says_nothing_of_the_run(folder: Path) -> None:
    assert sorted(path.name for path in folder.iterdir()) == sorted(FILES)
    header = (folder / "model.safetensors").read_bytes()
    length = struct.unpack("<Q", header[:8])[0]
    assert "__metadata__" not in json.loads(header[8 : 8 + length])
    card = (folder / "README.md").read_text()
    for expected in ("SHA-256", "held-out perplexity", "torch", "seed", "load_model", "Limits"):
        assert expected in card
    assert load_model(folder).nbytes == 4 * load_model(folder).parameters


@pytest.mark.parametrize("name", FILES[:3])
def test_a_damaged_model_folder_is_refused(name: str, folder: Path, tmp_path: Path) -> None:
    for other in FILES:
        (tmp_path / other).write_bytes((folder / other).read_bytes())
    good = (folder / name).read_bytes()
    for bad in (b"", good[:-20], b"\xff\xfe" + good, b"{}", b"null", b"[" * 50_000):
        (tmp_path / name).write_bytes(bad)
        with pytest.raises(CheckpointError):
            load_model(tmp_path)
    (tmp_path / name).unlink()
    with pytest.raises(CheckpointError, match="no file"):
        load_model(tmp_path)


def test_a_model_folder_that_does_not_fit_together_is_refused(folder: Path, tmp_path: Path) -> None:
    for other in FILES:
        (tmp_path / other).write_bytes((folder / other).read_bytes())
    record = json.loads((folder / "config.json").read_text())
    for change in (
        {"format_version": 2},
        {"format": "another"},
        {"vocabulary_size": record["vocabulary_size"] + 1},
        {"vocabulary_size": 10**12},
        {"extra": 1},
        {"config": record["config"] | {"model": record["config"]["model"] | {"layers": 2}}},
        {"config": record["config"] | {"model": record["config"]["model"] | {"hidden_dim": 4096}}},
        {"config": record["config"] | {"model": record["config"]["model"] | {"hidden_dim": 10**9}}},
    ):
        (tmp_path / "config.json").write_text(json.dumps(record | change))
        with pytest.raises(CheckpointError):
            load_model(tmp_path)


def test_a_tokenizer_of_another_preset_is_refused(tmp_path: Path) -> None:
    trainer = Trainer.start(lesson_config(), LESSON)
    run_through(trainer)
    record = trainer.write_best(tmp_path)
    del record["files"]
    words = config(TEXT, softmax="adaptive", tie_weights=True).model_dump(mode="json")
    (tmp_path / "config.json").write_text(json.dumps({**record, "config": words}))
    for reader in (load_model, check_model_folder):
        with pytest.raises(CheckpointError, match="not of the preset"):
            reader(tmp_path)
