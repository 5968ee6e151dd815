"""Mixed precision: losses and gradients stay near, a resumed training equal.

Without units for it torch computes the products of a gradient in float32, or in bfloat16 by other
means; these tests ask for it everywhere, so that the way there is tested on every machine.
"""

from pathlib import Path
from threading import Event, Thread
from typing import Literal

import pytest
import torch
from torch import Tensor

from lstmcore import cross_entropy, precision
from lstmcore.batches import Batch
from lstmcore.config import ModelConfig
from lstmcore.cross_entropy import linear_cross_entropy
from lstmcore.loss import batch_loss
from lstmcore.model import LSTMLanguageModel
from lstmcore.precision import HAS_UNITS, gradient_rounds, lstm_rounds, products
from lstmcore.training import Trainer
from tests.lstmcore.trainings import (
    CORPORA,
    TEXT,
    check_resumed,
    config,
    differences,
    run_through,
    saved,
)

V, H = 1_100, 64
Precision = Literal["auto", "float32"]

with_units = pytest.mark.skipif(not HAS_UNITS, reason="needs a processor with AMX")
matmul = torch.backends.mkldnn.matmul  # type: ignore[attr-defined]


@pytest.fixture
def units(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(precision, "HAS_UNITS", True)


@pytest.fixture
def no_layer_too_small(monkeypatch: pytest.MonkeyPatch) -> None:
    of_lstm = ("SEQUENCES", "CELLS") if HAS_UNITS else ()  # elsewhere torch may not be able to
    for fewest in ("ROWS", "TOKENS", "FEATURES", *of_lstm):
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


def test_rows_come_in_steady_numbers(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(cross_entropy, "rows_at_once", lambda _: 100)
    chunks = cross_entropy._chunks(torch.ones(320, 2), torch.ones(3, 2), torch.ones(3), 64)
    assert [rows.stop - rows.start for rows, _ in chunks] == [128, 128, 64]


@with_units
@pytest.mark.parametrize("layers", [1, 2])
@pytest.mark.parametrize(("asked", "least", "most"), [("auto", 1e-4, 0.03), ("float32", 0, 1e-5)])
def test_a_network_learns_nearly_the_same(
    layers: int, asked: Precision, least: float, most: float
) -> None:
    torch.manual_seed(8)
    shape = ModelConfig(embed_dim=16, hidden_dim=64, layers=layers)
    exact, rounded = LSTMLanguageModel(50, shape).double(), LSTMLanguageModel(50, shape)
    rounded.load_state_dict(exact.state_dict())
    ids, targets = torch.randint(50, (2, 8, 20))
    h, c = torch.randn(2, layers, 8, 64).clamp(-1, 1)
    batch = Batch(ids, targets, ids.numel())
    expected, after = batch_loss(exact, batch, (h.double(), c.double()))
    with products(asked):
        found, after_rounded = batch_loss(rounded, batch, (h, c))
    assert found.dtype == after_rounded[0].dtype == after_rounded[1].dtype == torch.float32
    assert found.item() == pytest.approx(expected.item(), rel=1e-3)
    right = torch.autograd.grad(expected, exact.parameters())
    near = torch.autograd.grad(found, rounded.parameters())
    for one, other in zip((*right, *after), (*near, *after_rounded), strict=True):
        assert least <= away(other.double(), one) < most


@with_units
def test_a_cell_adds_up_what_is_small() -> None:
    """A thousand times 0.002: in bfloat16 it would stop at one, where the next number is 1.008."""
    model = LSTMLanguageModel(5, ModelConfig(embed_dim=8, hidden_dim=64))
    with torch.no_grad():
        for name, weight in model.lstm.named_parameters():
            weight.zero_()
            if name == "bias_ih_l0":  # input, forget, cell, output
                weight.copy_(torch.tensor([20.0, 20.0, 0.002, 20.0]).repeat_interleave(64))
    _, (_, c) = model.train().features(torch.zeros(8, 1_000, dtype=torch.int64))
    assert c.min().item() == pytest.approx(2, rel=1e-3)


@with_units
def test_where_there_are_units_they_are_used_unless_float32_is_asked_for() -> None:
    parts, targets = layer(150)
    exact = learned([part.detach().double().requires_grad_() for part in parts], targets)[1]
    assert away(learned(parts, targets)[1][1], exact[1]) > 1e-4
    with products("float32"):
        assert away(learned(parts, targets)[1][1], exact[1]) < 1e-5


@pytest.mark.usefixtures("units")
def test_a_small_layer_another_type_and_a_wish_for_float32_keep_float32() -> None:
    rows = torch.empty(64, 64)
    assert gradient_rounds(rows, torch.empty(1_000, 64))
    assert not gradient_rounds(rows[:63], torch.empty(1_000, 64))
    assert lstm_rounds(torch.empty(8, 5, 3), 64)
    assert not lstm_rounds(torch.empty(7, 5, 3), 64)
    assert not lstm_rounds(torch.empty(8, 5, 3), 63)
    assert not lstm_rounds(torch.empty(8, 5, 3, dtype=torch.float64), 64)
    assert not gradient_rounds(rows, torch.empty(999, 64))
    assert not gradient_rounds(rows, torch.empty(1_000, 63))
    assert not gradient_rounds(rows, torch.empty(1_000, 64, dtype=torch.float64))
    with products("float32"):
        assert not gradient_rounds(rows, torch.empty(1_000, 64))
        assert not lstm_rounds(torch.empty(8, 5, 3), 64)
        with products("auto"):
            assert not gradient_rounds(rows, torch.empty(1_000, 64))


def test_onednn_may_be_kept_from_the_units(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("ONEDNN_MAX_CPU_ISA", "AVX512_CORE")
    assert not precision._has_units()
    for anything in ("default", "AVX512_CORE_AMX"):
        monkeypatch.setenv("ONEDNN_MAX_CPU_ISA", anything)
        assert precision._has_units() == bool(torch.cpu.get_capabilities().get("amx_bf16"))


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
    before, entered = matmul.fp32_precision, Event()

    def enter() -> None:
        with products("bfloat16"):
            entered.set()

    other = Thread(target=enter)
    with products("bfloat16"):
        other.start()
        assert not entered.wait(0.3), "it would take this precision for what was there before"
    other.join()
    assert entered.is_set()
    assert matmul.fp32_precision == before


@pytest.mark.usefixtures("units", "no_layer_too_small")
@pytest.mark.parametrize("layout", CORPORA)
@pytest.mark.parametrize("softmax", ["full", "adaptive"])
def test_resumed_is_uninterrupted(layout: str, softmax: str, tmp_path: Path) -> None:
    corpus = CORPORA[layout]
    settings = config(corpus, softmax=softmax, optimizer="muon")
    check_resumed(settings, corpus, tmp_path, 3)


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
