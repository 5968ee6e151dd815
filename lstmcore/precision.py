"""Products in bfloat16, for processors with units for them (Intel's AMX).

Two float32 matrices are rounded to 8 significant bits on their way into such a unit, which sums in
float32: Kalamkar et al. 2019, https://arxiv.org/abs/1905.12322. That takes about half the time.
Only the gradient of a large output layer is computed like that; logits, the loss and all that a
model says stay float32, and what rounding does to a gradient is far less than what the choice of a
batch does.
"""

import threading
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Literal

import torch
from torch import Tensor

HAS_UNITS = bool(torch.cpu.get_capabilities().get("amx_bf16"))
# Of an output layer: with fewer tokens or features rounding takes as long as the product.
FEWEST_TOKENS = 1_000
FEWEST_FEATURES = 64

NAMES = {"float32": "ieee", "bfloat16": "bf16"}  # as torch calls them
_matmul = torch.backends.mkldnn.matmul  # type: ignore[attr-defined] # torch leaves it undeclared
_one_at_a_time = threading.RLock()  # or two threads could leave each other's precision behind


def bfloat16_pays(weight: Tensor) -> bool:
    """Whether the gradients of an output layer (V, H) are better computed in bfloat16.

    Never while products are to be float32.
    """
    tokens, features = weight.shape
    return (
        HAS_UNITS
        and weight.device.type == "cpu"
        and weight.dtype == torch.float32
        and tokens >= FEWEST_TOKENS
        and features >= FEWEST_FEATURES
        and _matmul.fp32_precision != NAMES["float32"]
    )


@contextmanager
def products(precision: Literal["auto", "float32", "bfloat16"]) -> Iterator[None]:
    """Inside, torch multiplies float32 matrices like that, in all threads; `auto`: as before."""
    if precision == "auto":
        yield
        return
    with _one_at_a_time:
        before = _matmul.fp32_precision
        _matmul.fp32_precision = NAMES[precision]
        try:
            yield
        finally:
            _matmul.fp32_precision = before
