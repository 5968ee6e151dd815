"""Muon: steps along orthogonal matrices, so that a matrix learns in all directions alike.

Jordan et al. 2024, https://kellerjordan.github.io/posts/muon/. A gradient of a matrix has few large
and many small singular values; Muon follows its running mean with all of them set to about one.
LSTMs of letters and of words learn more in the same steps than with AdamW (DESIGN.md).
`torch.optim.Muon` works in bfloat16 and on the whole matrix, which takes twice as long on a CPU.
"""

from collections.abc import Iterable
from typing import Any

import torch
from torch import Tensor, nn, optim

MOMENTUM = 0.95
# Coefficients of the first steps of "The Polar Express", Amsel et al. 2025,
# https://arxiv.org/abs/2505.16932, algorithm 1: each step is the best after those before it.
STEPS = (
    (8.28721201814563, -23.595886519098837, 17.300387312530933),
    (4.107059111542203, -2.9478499167379106, 0.5448431082926601),
    (3.9486908534822946, -2.908902115962949, 0.5518191394370137),
    (3.3184196573706015, -2.488488024314874, 0.51004894012372),
)
SMALLEST = 1e-7  # norm of a gradient that still has a direction
# So that a step is as long as AdamW's, at the same learning rate: Liu et al. 2025,
# https://arxiv.org/abs/2502.16982, section 2.2.
RMS_OF_ADAMW = 0.2


class Muon(optim.Optimizer):
    """Muon for the matrices inside the network, AdamW for the rest."""

    def __init__(
        self,
        matrices: list[nn.Parameter],
        rest: Iterable[dict[str, Any]],
        *,
        lr: float,
        decay: float,
    ) -> None:
        """`decay` shrinks the `matrices`; `rest` are groups with a weight decay of their own."""
        super().__init__([{"params": matrices, "weight_decay": decay}], {"lr": lr})
        self._rest = optim.AdamW(rest, lr=lr, fused=True)
        self._rest.state = self.state  # one memory
        self.param_groups += self._rest.param_groups  # the same dictionaries: one learning rate

    @torch.no_grad()
    def step(self) -> None:  # type: ignore[override]
        """Take a step against the gradients."""
        group = self.param_groups[0]
        for parameter in group["params"]:
            gradient = parameter.grad
            if gradient is None:
                continue
            mean = self.state[parameter].setdefault("momentum_buffer", torch.zeros_like(parameter))
            mean.lerp_(gradient, 1 - MOMENTUM)
            direction = orthogonal(gradient.lerp(mean, MOMENTUM))  # Nesterov's momentum
            length = group["lr"] * RMS_OF_ADAMW * max(direction.shape) ** 0.5
            parameter.mul_(1 - group["lr"] * group["weight_decay"])
            parameter.add_(direction, alpha=-length)
        self._rest.step()


def orthogonal(matrix: Tensor) -> Tensor:
    """The matrix (M, N) with its singular values brought near 1: roughly U Vᵀ of U S Vᵀ.

    Between 0.44 and 1.56 they are then, but for those below a thousandth of the matrix' norm.
    Each of the steps multiplies X by a polynomial of X Xᵀ; the product of these polynomials is
    gathered on the smaller side, min(M, N) squared, and applied once.
    """
    if matrix.shape[0] > matrix.shape[1]:
        return orthogonal(matrix.T).T
    matrix = matrix / matrix.norm().clamp_min(SMALLEST)
    gram = matrix @ matrix.T  # of what the factors so far make of the matrix
    gathered: Tensor | None = None
    for at, (one, linear, square) in enumerate(STEPS):
        factor = torch.addmm(gram, gram, gram, beta=linear, alpha=square)
        factor.diagonal().add_(one)
        gathered = factor if gathered is None else factor @ gathered
        if at < len(STEPS) - 1:
            gram = factor @ gram @ factor
    return matrix if gathered is None else gathered @ matrix
