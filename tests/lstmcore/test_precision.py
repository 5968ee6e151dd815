"""Mixed precision: losses and gradients stay near, a resumed training equal.

Without units for them torch computes the same products in float32, or in bfloat16 by other means;
these tests ask for them everywhere, so that the way there is tested on every machine.
"""

from pathlib import Path
from threading import Barrier, Thread

import pytest
import torch
from torch import Tensor

from lstmcore import cross_entropy, precision
from lstmcore.batches import Batch
from lstmcore.config import ModelConfig
from lstmcore.cross_entropy import linear_cross_entropy
from lstmcore.loss import batch_loss
from lstmcore.model import LSTMLanguageModel
from lstmcore.precision import HAS_UNITS, gradient_rounds, lstm_dtype, products
from lstmcore.training import Trainer
from tests.lstmcore.trainings import (
    CORPORA,
    TEXT,
    config,
    differences,
    run_in_pieces,
    run_through,
    saved,
)

V, H = 1_100, 64
matmul = torch.backends.mkldnn.matmul  # type: ignore[attr-defined]


@pytest.fixture
def units(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(precision, "HAS_UNITS", True)


@pytest.fixture
def no_layer_too_small(monkeypatch: pytest.MonkeyPatch) -> None:
    for fewest in ("SEQUENCES", "CELLS", "TOKENS", "FEATURES"):
        monkeypatch.setattr(precision, f"FEWEST_{fewest}", 1)


def layer(rows: int) -> tuple[list[Tensor], Tensor]:
    """Features, weight and bias that leave something to learn; targets."""
    generator = torch.Generator().manual_seed(7)
    parts = [torch.randn(size, generator=generator) for size in ((rows, H), (V, H), (V,))]
    return [part.requires_grad_() for part in parts], torch.randint(V, (rows,), generator=generator)


def learned(parts: list[Tensor], targets: Tensor) -> tuple[Tensor, tuple[Tensor, ...]]:
    """The loss and its gradients."""
    features, weight, bias = parts
    loss = linear_cross_entropy(features, weight, bias, targets, len(targets))
    return loss, torch.autograd.grad(loss, parts)


def away(found: Tensor, expected: Tensor) -> float:
    """How far a gradient is off, as a share of its length."""
    return float((found - expected).detach().norm() / expected.detach().norm())


@pytest.mark.usefixtures("units")
@pytest.mark.parametrize("rows", [1, 63, 64, 65, 150, 300])
@pytest.mark.parametrize("at_once", [64, 100, 10_000])
def test_of_an_output_layer_only_the_gradient_is_rounded(
    rows: int, at_once: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(cross_entropy, "rows_at_once", lambda _: at_once)
    parts, targets = layer(rows)
    found, gradients = learned(parts, targets)
    exact = [part.detach().double().requires_grad_() for part in parts]
    expected, exact_gradients = learned(exact, targets)
    torch.testing.assert_close(found, expected.float())
    of_features, of_weight, of_bias = map(away, gradients, exact_gradients)
    assert of_features < 0.01
    assert of_weight < 0.01
    assert of_bias < 1e-5  # a sum, not a product


@pytest.mark.usefixtures("units")
@pytest.mark.parametrize("layers", [1, 2])
def test_a_network_learns_nearly_the_same(layers: int) -> None:
    torch.manual_seed(8)
    shape = ModelConfig(embed_dim=16, hidden_dim=64, layers=layers)
    exact = LSTMLanguageModel(50, shape).double()
    rounded = LSTMLanguageModel(50, shape)
    rounded.load_state_dict(exact.state_dict())
    ids, targets = torch.randint(50, (2, 8, 20))
    state = tuple(torch.randn(2, layers, 8, 64).clamp(-1, 1))
    (expected, after), (found, after_rounded) = (
        batch_loss(model, Batch(ids, targets, ids.numel()), tuple(t.to(dtype) for t in state))
        for model, dtype in ((exact, torch.float64), (rounded, torch.float32))
    )
    assert found.dtype == after_rounded[0].dtype == after_rounded[1].dtype == torch.float32
    assert found.item() == pytest.approx(expected.item(), rel=1e-3)
    gradients = (
        torch.autograd.grad(loss, model.parameters())
        for loss, model in ((expected, exact), (found, rounded))
    )
    for one, other in zip(*gradients, strict=True):
        assert away(other.double(), one) < 0.03
    for one, other in zip(after, after_rounded, strict=True):
        assert away(other.double(), one) < 0.02


@pytest.mark.skipif(not HAS_UNITS, reason="needs a processor with AMX")
def test_where_there_are_units_they_are_used_unless_float32_is_asked_for() -> None:
    parts, targets = layer(150)
    exact = learned([part.detach().double().requires_grad_() for part in parts], targets)[1]
    assert away(learned(parts, targets)[1][1], exact[1]) > 1e-4
    with products("float32"):
        assert away(learned(parts, targets)[1][1], exact[1]) < 1e-5


@pytest.mark.usefixtures("units")
def test_a_small_layer_another_type_and_a_wish_for_float32_keep_float32() -> None:
    assert gradient_rounds(torch.empty(1_000, 64))
    assert lstm_dtype(torch.empty(8, 5, 3), 64) == torch.bfloat16
    assert lstm_dtype(torch.empty(7, 5, 3), 64) == torch.float32
    assert lstm_dtype(torch.empty(8, 5, 3), 63) == torch.float32
    assert lstm_dtype(torch.empty(8, 5, 3, dtype=torch.float64), 64) == torch.float64
    assert not gradient_rounds(torch.empty(999, 64))
    assert not gradient_rounds(torch.empty(1_000, 63))
    assert not gradient_rounds(torch.empty(1_000, 64, dtype=torch.float64))
    with products("float32"):
        assert not gradient_rounds(torch.empty(1_000, 64))
        assert lstm_dtype(torch.empty(8, 5, 3), 64) == torch.float32
        with products("auto"):
            assert not gradient_rounds(torch.empty(1_000, 64))


def test_torchs_setting_is_as_it_was_afterwards() -> None:
    before = matmul.fp32_precision

    def fail() -> None:
        with products("bfloat16"):
            assert matmul.fp32_precision == "bf16"
            raise ArithmeticError

    with pytest.raises(ArithmeticError):
        fail()
    assert matmul.fp32_precision == before


def test_threads_leave_no_setting_behind() -> None:
    before, together = matmul.fp32_precision, Barrier(8)

    def work() -> None:
        together.wait()
        for _ in range(200):
            with products("bfloat16"):
                pass

    threads = [Thread(target=work) for _ in range(8)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert matmul.fp32_precision == before


@pytest.mark.usefixtures("units", "no_layer_too_small")
@pytest.mark.parametrize("layout", CORPORA)
@pytest.mark.parametrize("softmax", ["full", "adaptive"])
def test_resumed_is_uninterrupted(layout: str, softmax: str, tmp_path: Path) -> None:
    corpus = CORPORA[layout]
    settings = config(corpus, softmax=softmax, optimizer="muon")
    whole = Trainer.start(settings, corpus)
    run_through(whole)
    run_in_pieces(Trainer.start(settings, corpus), corpus, tmp_path, 3)
    again = Trainer.resume(tmp_path / "end.safetensors", corpus)
    assert list(differences(saved(whole, tmp_path), saved(again, tmp_path))) == []


@pytest.mark.usefixtures("no_layer_too_small")
def test_float32_asked_for_is_what_a_processor_without_units_does(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    ended = []
    for units in (False, True):
        monkeypatch.setattr(precision, "HAS_UNITS", units)
        trainer = Trainer.start(config(TEXT, precision="float32"), TEXT)
        run_through(trainer)
        ended.append(saved(trainer, tmp_path))
    assert list(differences(*ended)) == []
