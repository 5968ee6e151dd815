"""Mixed precision: what is computed in bfloat16, on processors with units for it (Intel's AMX).

Such a unit multiplies matrices of 8 significant bits and sums in float32, several times as fast as
float32 all the way: Kalamkar et al. 2019, https://arxiv.org/abs/1905.12322. A training has its LSTM
layers computed like that, and the gradient of a large output layer. Weights, logits, loss and all
that a trained model says stay float32.
"""

import threading
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Literal

import torch
from torch import Tensor

HAS_UNITS = bool(torch.cpu.get_capabilities().get("amx_bf16"))
# With less, what rounding takes is as much as what it saves: sequences side by side and cells of an
# LSTM layer, tokens and features of an output layer.
FEWEST_SEQUENCES, FEWEST_CELLS = 8, 64
FEWEST_TOKENS, FEWEST_FEATURES = 1_000, 64

NAMES = {"float32": "ieee", "bfloat16": "bf16"}  # as torch calls them
_matmul = torch.backends.mkldnn.matmul  # type: ignore[attr-defined] # torch leaves it undeclared
_one_at_a_time = threading.RLock()  # or two threads could leave each other's precision behind


def lstm_dtype(values: Tensor, cells: int) -> torch.dtype:
    """In what an LSTM layer best learns from values (B, T, N)."""
    pays = len(values) >= FEWEST_SEQUENCES and cells >= FEWEST_CELLS
    return torch.bfloat16 if pays and _may_round(values) else values.dtype


def gradient_rounds(weight: Tensor) -> bool:
    """Whether the gradients of an output layer (V, H) are better computed in bfloat16."""
    tokens, features = weight.shape
    return tokens >= FEWEST_TOKENS and features >= FEWEST_FEATURES and _may_round(weight)


def _may_round(tensor: Tensor) -> bool:
    of_processor = tensor.device.type == "cpu" and tensor.dtype == torch.float32
    return HAS_UNITS and of_processor and _matmul.fp32_precision != NAMES["float32"]


@contextmanager
def products(precision: Literal["auto", "float32", "bfloat16"]) -> Iterator[None]:
    """Inside, torch multiplies float32 matrices like that, in all threads; `auto`: as before.

    Nothing is computed in bfloat16 while products are to be float32.
    """
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
