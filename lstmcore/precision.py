"""Mixed precision: what is computed in bfloat16, on processors with units for it (Intel's AMX).

Such a unit multiplies matrices of 8 significant bits and sums in float32, several times as fast as
float32 all the way: Kalamkar et al. 2019, https://arxiv.org/abs/1905.12322. A training has its LSTM
layers computed like that, and the gradient of a large output layer. Weights and the LSTM's cell
state, which adds up over many tokens, stay float32; so do logits, losses and all that a trained
model says.
"""

import os
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Literal

import torch
from torch import Tensor


def _has_units() -> bool:
    """Whether the processor has units for bfloat16, and oneDNN may use them."""
    allowed = os.environ.get("ONEDNN_MAX_CPU_ISA", "").upper()  # oneDNN's own setting
    may_use = allowed in {"", "ALL", "DEFAULT"} or "AMX" in allowed
    return may_use and bool(torch.cpu.get_capabilities().get("amx_bf16"))


HAS_UNITS = _has_units()
# With less, what rounding takes is as much as what it saves: sequences side by side and cells of an
# LSTM layer; rows, tokens and features of an output layer.
FEWEST_SEQUENCES, FEWEST_CELLS = 8, 64
FEWEST_ROWS, FEWEST_TOKENS, FEWEST_FEATURES = 64, 1_000, 64

NAMES = {"float32": "ieee", "bfloat16": "bf16"}  # as torch calls them
_matmul = torch.backends.mkldnn.matmul  # type: ignore[attr-defined] # torch leaves it undeclared
_one_at_a_time = threading.RLock()  # or two threads could leave each other's precision behind


def lstm_rounds(values: Tensor, cells: int) -> bool:
    """Whether an LSTM layer better learns from values (B, T, N) in bfloat16."""
    return len(values) >= FEWEST_SEQUENCES and cells >= FEWEST_CELLS and _may_round(values)


def gradient_rounds(features: Tensor, weight: Tensor) -> bool:
    """Whether the gradients of an output layer (V, H) by (N, H) are better made in bfloat16."""
    enough = len(features) >= FEWEST_ROWS and len(weight) >= FEWEST_TOKENS
    return enough and weight.shape[1] >= FEWEST_FEATURES and _may_round(weight)


def _may_round(tensor: Tensor) -> bool:
    of_processor = tensor.device.type == "cpu" and tensor.dtype == torch.float32
    by_onednn = HAS_UNITS and bool(torch.backends.mkldnn.enabled)  # nothing else has the programs
    return of_processor and by_onednn and _matmul.fp32_precision != NAMES["float32"]


@contextmanager
def products(precision: Literal["auto", "float32", "bfloat16"]) -> Iterator[None]:
    """Inside, torch multiplies float32 matrices like that, in all threads; `auto`: as before.

    Nothing is rounded while they are to be float32, nor after
    `torch.set_float32_matmul_precision("highest")`.
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
