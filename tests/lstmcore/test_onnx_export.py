"""An exported model computes what the network computes, wherever the text is cut."""

import builtins
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch

from lstmcore.corpus import Corpus
from lstmcore.errors import LSTMError
from lstmcore.export import LanguageModel
from lstmcore.onnx_export import write_onnx
from lstmcore.training import Trainer
from tests.lstmcore.trainings import LESSON, LINES, config, lesson_config

SHAPES = {
    "one layer": {},
    "three layers": {"layers": 3, "dropout": 0.3},
    "tied": {"layers": 2, "tie_weights": True},
    "adaptive": {"softmax": "adaptive"},
    "tied and adaptive": {"softmax": "adaptive", "tie_weights": True, "embed_dim": 6},
}


def model(corpus: Corpus, settings: Any) -> LanguageModel:
    return Trainer.start(settings, corpus, threads=1).language_model


@pytest.mark.parametrize("shape", SHAPES)
@pytest.mark.usefixtures("small_tails")
def test_parity_with_the_network(shape: str, tmp_path: Path) -> None:
    runtime = pytest.importorskip("onnxruntime")
    lm = model(LINES, config(LINES, "word", **SHAPES[shape]))
    write_onnx(lm, tmp_path / "model.onnx")
    session = runtime.InferenceSession(tmp_path / "model.onnx")
    for batch, length in ((1, 1), (1, 9), (5, 4)):
        ids = torch.randint(0, lm.tokenizer.modelled_size, (batch, length))
        h, c = lm.model.start_state(batch)
        with torch.no_grad():
            expected, (expected_h, expected_c) = lm.model(ids, (h, c))
        cut = length // 2
        found = []
        states = h.numpy(), c.numpy()
        for window in (ids[:, :cut], ids[:, cut:]):
            given = {"ids": window.numpy(), "h": states[0], "c": states[1]}
            if window.numel() == 0:
                continue
            logits, *states = session.run(["logits", "h_after", "c_after"], given)
            found.append(logits)
        np.testing.assert_allclose(np.concatenate(found, 1), expected, atol=1e-5)
        np.testing.assert_allclose(states[0], expected_h, atol=1e-5)
        np.testing.assert_allclose(states[1], expected_c, atol=1e-5)


def test_the_lesson_can_be_exported(tmp_path: Path) -> None:
    pytest.importorskip("onnx")
    write_onnx(model(LESSON, lesson_config()), tmp_path / "model.onnx")
    assert [path.name for path in tmp_path.iterdir()] == ["model.onnx"]


def test_without_the_package_it_says_what_to_install(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    real = builtins.__import__

    def missing(name: str, *args: Any, **kwargs: Any) -> Any:
        if name == "onnx":
            raise ImportError(name)
        return real(name, *args, **kwargs)

    monkeypatch.setattr(builtins, "__import__", missing)
    with pytest.raises(LSTMError, match=r"lstmq\[onnx\]"):
        write_onnx(model(LINES, config(LINES)), tmp_path / "model.onnx")
