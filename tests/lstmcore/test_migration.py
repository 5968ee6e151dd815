"""Files of every format version that was ever written still load, and mean what they meant."""

import json
import shutil
from pathlib import Path
from typing import Any

import pytest
import torch
from safetensors.torch import load_file, save_file

from lstmcore import checkpoint, model_record
from lstmcore.config import Sampling
from lstmcore.errors import CheckpointError
from lstmcore.sampling import generate, load_model
from lstmcore.training import Trainer
from tests.lstmcore.write_version_1 import CORPUS, PAUSED_AT

FIXTURES = Path(__file__).with_name("fixtures")
VERSIONS = sorted(FIXTURES.glob("version-*"))
MOST_BYTES = 40_000


def expected(version: Path) -> dict[str, Any]:
    found: dict[str, Any] = json.loads((version / "expected.json").read_text())
    return found


def test_there_is_a_fixture_of_every_version() -> None:
    newest = max(checkpoint.FORMAT_VERSION, model_record.FORMAT_VERSION)
    assert [path.name for path in VERSIONS] == [f"version-{n}" for n in range(1, newest + 1)]
    for version in VERSIONS:
        assert sum(p.stat().st_size for p in version.rglob("*") if p.is_file()) < MOST_BYTES


@pytest.mark.parametrize("version", VERSIONS, ids=lambda path: path.name)
def test_a_model_says_what_it_said(version: Path) -> None:
    lm = load_model(version / "model")
    said = expected(version)
    with torch.no_grad():
        logits = lm.model(torch.tensor([[0, 1, 2, 3]]))[0]
    torch.testing.assert_close(logits, torch.tensor(said["logits"]), atol=1e-4, rtol=1e-4)
    for prompt, text in said["texts"].items():
        result = generate(lm, prompt, Sampling(temperature=0, max_tokens=12))
        assert result["completions"][0]["text"] == text


@pytest.mark.parametrize("version", VERSIONS, ids=lambda path: path.name)
def test_a_training_goes_on(version: Path, tmp_path: Path) -> None:
    trainer = Trainer.resume(version / "checkpoint.safetensors", CORPUS, threads=1)
    said = expected(version)
    assert trainer.step == PAUSED_AT
    for _ in trainer.run():
        pass
    assert trainer.stopped == "finished"
    assert trainer.step == said["steps"]
    # to the bit on one kind of machine only; here, about
    assert trainer.best_loss == pytest.approx(said["best_loss"], rel=0.02)
    trainer.write_best(tmp_path / "model")
    assert load_model(tmp_path / "model").layout == CORPUS.layout


@pytest.mark.parametrize("found", [len(VERSIONS) + 1, 99])
def test_a_newer_format_is_refused_with_advice(found: int, tmp_path: Path) -> None:
    folder = tmp_path / "model"
    shutil.copytree(VERSIONS[0] / "model", folder)
    record = json.loads((folder / "config.json").read_text())
    (folder / "config.json").write_text(json.dumps({**record, "format_version": found}))
    with pytest.raises(CheckpointError, match="Update lstmq"):
        load_model(folder)

    path = VERSIONS[0] / "checkpoint.safetensors"
    _, metadata = checkpoint.read_tensors(path)
    newer = tmp_path / "newer.safetensors"
    save_file(load_file(path), newer, {**metadata, "format_version": str(found)})
    with pytest.raises(CheckpointError, match="Update lstmq"):
        Trainer.resume(newer, CORPUS)
