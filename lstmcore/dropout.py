"""Dropout: which values are left out, drawn faster than torch draws them on a processor."""

import torch
from torch import Tensor, nn

VALUES_A_DRAW = 4  # parts of 16 bits in a random number of 64
CHANCES = 2**16


def kept(like: Tensor, share: float) -> Tensor:
    """Zeros in the shape of `like` with this chance, otherwise 1 / (1 - share).

    torch draws a whole random number for each value, in turn, and takes more than twice as long;
    16 bits of one are as good: the chance is off by 1/131,072 at most.
    """
    if like.device.type != "cpu":
        return nn.functional.dropout(torch.ones_like(like), share)
    draws = torch.empty(-(-like.numel() // VALUES_A_DRAW), dtype=torch.int64)
    draws.random_(-(2**63), None)
    bits = draws.view(torch.int16)[: like.numel()].view(like.shape)  # -2^15 .. 2^15 - 1
    here = bits >= round((share - 0.5) * CHANCES)
    return here.to(like.dtype).mul_(1 / (1 - share))
