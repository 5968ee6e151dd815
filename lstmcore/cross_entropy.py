"""Cross-entropy of a linear layer without its logits: they are made some rows at a time."""

from collections.abc import Iterator
from typing import Any

import torch
from torch import Tensor
from torch.autograd.function import once_differentiable

from lstmcore.shapes import rows_at_once


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
    for rows, logprobs in _chunks(features, weight, bias):
        total -= logprobs.gather(1, targets[rows, None]).sum()
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
        of_features = torch.empty_like(features)  # (N, H)
        of_weight, of_bias = torch.empty_like(weight), torch.zeros_like(bias)  # (V, H), (V,)
        total = features.new_zeros(())
        for rows, logprobs in _chunks(features, weight, bias):
            target = targets[rows, None]  # (n, 1)
            total -= logprobs.gather(1, target).sum()
            error = logprobs.exp_()  # (n, V)
            error.scatter_add_(1, target, error.new_full(target.shape, -1))
            torch.mm(error, weight, out=of_features[rows])
            added_to = float(rows.start > 0)  # the first rows overwrite what was there
            of_weight.addmm_(error.T, features[rows], beta=added_to, alpha=1 / count)
            of_bias.add_(error.sum(0), alpha=1 / count)
        if len(features) == 0:
            of_weight.zero_()
        ctx.gradients = of_features.div_(count), of_weight, of_bias
        return total / count

    @staticmethod
    @once_differentiable
    def backward(ctx: Any, gradient: Tensor) -> tuple[Tensor | None, ...]:
        of_all: tuple[Tensor, ...] = ctx.gradients
        del ctx.gradients  # they are the parameters' now, which need not copy them
        if gradient != 1:  # it is 1 where a training asks
            of_all = tuple(each.mul_(gradient) for each in of_all)
        return *of_all, None, None


def _chunks(features: Tensor, weight: Tensor, bias: Tensor) -> Iterator[tuple[slice, Tensor]]:
    """Some rows of features (N, H) after the other, and their log probabilities (n, V).

    The memory of the log probabilities is used again for the next rows.
    """
    count, vocabulary = len(features), len(weight)
    chunks = max(1, -(-count // rows_at_once(vocabulary)))
    size = max(1, -(-count // chunks))
    logits, logprobs = features.new_empty(2, size, vocabulary)
    for start in range(0, count, size):
        rows = slice(start, min(start + size, count))
        n = rows.stop - start
        # adding the bias afterwards is faster than torch.addmm, which copies it first
        torch.mm(features[rows], weight.T, out=logits[:n]).add_(bias)
        yield rows, torch.log_softmax(logits[:n], -1, out=logprobs[:n])
