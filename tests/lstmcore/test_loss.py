"""The loss that never holds all logits: the same numbers and gradients as torch's own."""

import pytest
import torch
from torch import Tensor
from torch.nn import functional

from lstmcore import cross_entropy
from lstmcore.batches import IGNORED, Batch
from lstmcore.config import ModelConfig
from lstmcore.cross_entropy import linear_cross_entropy
from lstmcore.loss import batch_loss
from lstmcore.model import LSTMLanguageModel

N, H, V = 7, 3, 5


def layer(dtype: torch.dtype = torch.float64) -> tuple[Tensor, Tensor, Tensor, Tensor]:
    generator = torch.Generator().manual_seed(5)
    features = torch.randn(N, H, dtype=dtype, generator=generator, requires_grad=True)
    weight = torch.randn(V, H, dtype=dtype, generator=generator, requires_grad=True)
    bias = torch.randn(V, dtype=dtype, generator=generator, requires_grad=True)
    return features, weight, bias, torch.randint(V, (N,), generator=generator)


@pytest.fixture(params=[1, 2, 3, 100], ids="{} rows".format)
def rows_at_a_time(request: pytest.FixtureRequest, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(cross_entropy, "rows_at_once", lambda _: request.param)


@pytest.mark.usefixtures("rows_at_a_time")
def test_gradients_are_those_of_the_numbers() -> None:
    *parts, targets = layer()
    gradients = torch.autograd.grad(linear_cross_entropy(*parts, targets, 4), parts)
    for part, gradient in zip(parts, gradients, strict=True):
        way = torch.randn_like(part)  # a small step this way and back
        values = []
        for step in (1e-5, -1e-5):
            moved = [each + step * way if each is part else each for each in parts]
            with torch.no_grad():
                values.append(linear_cross_entropy(*moved, targets, 4))
        torch.testing.assert_close((gradient * way).sum(), (values[0] - values[1]) / 2e-5)


@pytest.mark.usefixtures("rows_at_a_time")
def test_it_is_torchs_cross_entropy() -> None:
    features, weight, bias, targets = layer()
    expected = functional.cross_entropy(features @ weight.T + bias, targets)
    found = linear_cross_entropy(features, weight, bias, targets, N)
    torch.testing.assert_close(found, expected)
    parts = (features, weight, bias)
    gradients = torch.autograd.grad(found * 3, parts)
    torch.testing.assert_close(gradients, torch.autograd.grad(expected * 3, parts))
    with torch.inference_mode():
        looked_at = linear_cross_entropy(features, weight, bias, targets, N)
    torch.testing.assert_close(looked_at, found.detach())


def test_the_unlikeliest_token_is_no_infinite_surprise() -> None:
    features, weight, bias, targets = layer(torch.float32)
    with torch.no_grad():
        bias[targets[0]] = -500.0
    found = linear_cross_entropy(features[:1], weight, bias, targets[:1], 1)
    expected = functional.cross_entropy(features[:1] @ weight.T + bias, targets[:1])
    assert found.item() > 400
    torch.testing.assert_close(found, expected)


def test_nothing_to_learn_from_gives_nothing() -> None:
    features, weight, bias, targets = layer()
    found = linear_cross_entropy(features[:0], weight, bias, targets[:0], 1)
    assert found.item() == 0
    gradients = torch.autograd.grad(found, (weight, bias))
    assert not any(gradient.any() for gradient in gradients)


@pytest.mark.parametrize("tied", [False, True])
@pytest.mark.parametrize("some", [False, True], ids=["all targets", "some targets"])
def test_a_batch_is_learned_from_as_torch_would(tied: bool, some: bool) -> None:
    torch.manual_seed(6)
    model = LSTMLanguageModel(11, ModelConfig(embed_dim=5, hidden_dim=7, tie_weights=tied)).double()
    ids, targets = torch.randint(11, (2, 3, 9))
    if some:
        targets[torch.rand(3, 9) < 0.5] = IGNORED
    tokens = int((targets != IGNORED).sum())
    found, _ = batch_loss(model, Batch(ids, targets, tokens), None)
    logits, _ = model(ids)
    expected = functional.cross_entropy(
        logits.flatten(0, 1), targets.flatten(), ignore_index=IGNORED
    )
    torch.testing.assert_close(found, expected)
    parameters = list(model.parameters())
    torch.testing.assert_close(
        torch.autograd.grad(found, parameters), torch.autograd.grad(expected, parameters)
    )
