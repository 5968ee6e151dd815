"""Muon: its matrices are near orthogonal, its memory is complete, and it learns."""

import pytest
import torch
from torch import nn

from lstmcore.muon import Muon, orthogonal


@pytest.mark.parametrize("shape", [(64, 64), (256, 64), (16, 200), (1, 8)])
def test_every_direction_gets_about_the_same_length(shape: tuple[int, int]) -> None:
    generator = torch.Generator().manual_seed(1)
    matrix = torch.randn(shape, generator=generator, dtype=torch.float64)
    u, _, v = torch.linalg.svd(matrix, full_matrices=False)
    wide = torch.logspace(0, -2, len(v), dtype=torch.float64)  # from the largest to a hundredth
    made = orthogonal(u * wide @ v)
    assert made.shape == shape
    values = torch.linalg.svdvals(made)
    assert values.max() < 1.6
    assert values.min() > 0.4
    # only lengths change: each direction goes to where it went
    assert torch.dist(u.T @ made @ v.T, torch.diag(torch.diag(u.T @ made @ v.T))) < 1e-6


def test_no_gradient_is_no_direction() -> None:
    assert torch.equal(orthogonal(torch.zeros(3, 5)), torch.zeros(3, 5))


def test_a_step_is_as_long_as_the_learning_rate_says() -> None:
    """The root mean square of a step of AdamW is about 0.2 times its rate."""
    weight = nn.Parameter(torch.randn(80, 40, generator=torch.Generator().manual_seed(2)))
    before = weight.detach().clone()
    optimizer = Muon([weight], [{"params": [nn.Parameter(torch.zeros(3))]}], lr=0.1, decay=0.0)
    weight.grad = torch.randn(80, 40, generator=torch.Generator().manual_seed(3)) * 1e-3
    optimizer.step()
    step = (weight.detach() - before).square().mean().sqrt().item()
    assert step == pytest.approx(0.2 * 0.1, rel=0.2)


def test_all_parameters_learn_at_one_rate() -> None:
    matrix, bias = nn.Parameter(torch.zeros(4, 4)), nn.Parameter(torch.zeros(4))
    optimizer = Muon([matrix], [{"params": [bias]}], lr=0.1, decay=0.01)
    for group in optimizer.param_groups:
        group["lr"] = 0.5
    inputs, wanted = torch.eye(4), torch.arange(16.0).reshape(4, 4)
    losses = []
    for _ in range(60):
        optimizer.zero_grad()
        loss = (inputs @ matrix + bias - wanted).square().mean()
        loss.backward()  # type: ignore[no-untyped-call]
        optimizer.step()
        losses.append(loss.item())
    assert set(optimizer.state[matrix]) == {"momentum_buffer"}
    assert set(optimizer.state[bias]) == {"step", "exp_avg", "exp_avg_sq"}
    assert losses[-1] < losses[0] / 10
