"""Cross-entropy of a linear layer without its logits: they are made some rows at a time."""

from collections.abc import Iterator
from typing import Any

import torch
from torch import Tensor
from torch.autograd.function import once_differentiable
from torch.nn.functional import pad

from lstmcore.precision import gradient_rounds, products
from lstmcore.shapes import rows_at_once

# A product in bfloat16 is compiled for its sizes, which takes as long as computing a few of them:
# its rows are a multiple of this, so that texts of all lengths share a few programs.
STEADY_ROWS = 64


def linear_cross_entropy(
    features: Tensor, weight: Tensor, bias: Tensor, targets: Tensor, count: int
) -> Tensor:
    """Cross-entropy of the logits `features @ weight.T + bias`, summed and divided by `count`.

    From features (N, H), weight (V, H), bias (V,) and targets (N,), without ever holding all
    (N, V) logits: they are made some rows at a time, and their gradients with them.
    """
    if torch.is_grad_enabled():
        parts = features, weight, bias, targets, count
        loss: Tensor = _LinearCrossEntropy.apply(*parts)  # type: ignore[no-untyped-call]
        return loss
    total = features.new_zeros(())
    for rows, logits in _chunks(features, weight, bias):
        total -= torch.log_softmax(logits, -1, out=logits).gather(1, targets[rows, None]).sum()
    return total / count


class _LinearCrossEntropy(torch.autograd.Function):
    """Loss and gradients in one pass: while a chunk's softmax is there, all is known.

    The derivative of the loss by the logits is softmax minus one at the target; what features,
    weight and bias get follows from that as for any linear layer.
    """

    @staticmethod
    def forward(
        ctx: Any, features: Tensor, weight: Tensor, bias: Tensor, targets: Tensor, count: int
    ) -> Tensor:
        rounded = gradient_rounds(features, weight)
        steady = STEADY_ROWS if rounded else 1
        filling = -len(features) % steady
        padded = pad(features, (0, 0, 0, filling)) if filling else features  # (N', H)
        of_padded = torch.empty_like(padded)  # (N', H)
        of_weight, of_bias = torch.empty_like(weight), torch.zeros_like(bias)  # (V, H), (V,)
        total = features.new_zeros(())
        for rows, logits in _chunks(padded, weight, bias, steady):
            target = targets[rows, None]  # (n, 1), and fewer than the rows in the padding
            error = torch.softmax(logits, -1, out=logits)  # (n', V)
            n = len(target)
            total += _surprise(error[:n], targets[rows], features[rows], weight, bias)
            error.scatter_add_(1, target, error.new_full(target.shape, -1))
            error[n:] = 0
            added_to = float(rows.start > 0)  # the first rows overwrite what was there
            with products("bfloat16" if rounded else "auto"):
                torch.mm(error, weight, out=of_padded[rows])
                of_weight.addmm_(error.T, padded[rows], beta=added_to, alpha=1 / count)
            of_bias.add_(error.sum(0), alpha=1 / count)
        if len(features) == 0:
            of_weight.zero_()
        ctx.gradients = of_padded[: len(features)].div_(count), of_weight, of_bias
        return total / count

    @staticmethod
    @once_differentiable
    def backward(ctx: Any, gradient: Tensor) -> tuple[Tensor | None, ...]:
        of_all: tuple[Tensor, ...] = ctx.gradients
        del ctx.gradients  # they are the parameters' now, which need not copy them
        if gradient != 1:  # it is 1 where a training asks
            of_all = tuple(each.mul_(gradient) for each in of_all)
        return *of_all, None, None


def _surprise(
    probabilities: Tensor, targets: Tensor, features: Tensor, weight: Tensor, bias: Tensor
) -> Tensor:
    """Minus the log probabilities of targets (n,), summed, when those of all tokens are (n, V)."""
    likely = probabilities.gather(1, targets[:, None])[:, 0]
    lost = likely < torch.finfo(likely.dtype).tiny  # less than a float can say
    surprise = -likely[~lost].log().sum()
    if bool(lost.any()):  # how far their logits are below those of the likeliest tokens
        most, at = probabilities[lost].max(1)
        of_targets = targets[lost]
        further = (features[lost] * (weight[at] - weight[of_targets])).sum(1)
        surprise += (further + bias[at] - bias[of_targets] - most.log()).sum()
    return surprise


def _chunks(
    features: Tensor, weight: Tensor, bias: Tensor, multiple: int = 1
) -> Iterator[tuple[slice, Tensor]]:
    """Some rows of features (N, H) after the other, a `multiple` at a time; their logits (n, V).

    The memory of the logits is used again for the next rows.
    """
    count, vocabulary = len(features), len(weight)
    chunks = max(1, -(-count // rows_at_once(vocabulary)))
    size = max(1, -(-count // (chunks * multiple))) * multiple
    logits = features.new_empty(size, vocabulary)
    for start in range(0, count, size):
        rows = slice(start, min(start + size, count))
        of_rows = logits[: rows.stop - start]
        # adding the bias afterwards is faster than torch.addmm, which copies it first
        yield rows, torch.mm(features[rows], weight.T, out=of_rows).add_(bias)
