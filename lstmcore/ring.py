"""Token ids joined to a ring of pieces, and parallel streams that read it window by window.

The ids may be mapped from a file and larger than memory: then every window is read straight from
there, and nothing is ever joined.
"""

from typing import Any

import numpy as np
import torch
from torch import Tensor

JOINED_TOKENS = 1 << 25  # a ring up to here is joined in memory once an epoch: reading is faster
FEW_PIECES = 32  # a text without what is held out
COPIED_PIECES = 16_384  # joined at once: their index takes 8 bytes a token
Array = np.ndarray[Any, Any]


class Ring:
    """Pieces of one array of ids, read as if the end were followed by the beginning."""

    def __init__(self, ids: Array, starts: Array, lengths: Array, offset: int = 0) -> None:
        """Take pieces of `ids` (N,) by start and length, (P,) each; read from `offset` on."""
        self._ids = ids
        self._starts = starts.astype(np.int64)
        self._lengths = lengths.astype(np.int64)
        self._ends = self._lengths.cumsum()
        self._offset = offset

    @classmethod
    def of(cls, ids: Array) -> "Ring":
        """The whole of an array."""
        return cls(ids, np.array([0]), np.array([len(ids)]))

    def __len__(self) -> int:
        """How many tokens it has."""
        return int(self._ends[-1]) if len(self._ends) else 0

    @property
    def pieces(self) -> int:
        """How many pieces it is made of."""
        return len(self._lengths)

    def reordered(self, order: Tensor) -> "Ring":
        """The same pieces in another order, (P,)."""
        return Ring(self._ids, self._starts[order.numpy()], self._lengths[order.numpy()])

    def rolled(self, offset: int) -> "Ring":
        """The same ring, beginning at another place."""
        return Ring(self._ids, self._starts, self._lengths, offset % len(self))

    def read(self, start: int, count: int) -> Array:
        """The `count` ids from place `start` on, (count,) int64."""
        found = np.empty(count, np.int64)
        at, done = (start + self._offset) % len(self), 0
        piece = int(np.searchsorted(self._ends, at, side="right"))
        skipped = at - int(self._ends[piece] - self._lengths[piece])
        while done < count:
            take = min(int(self._lengths[piece]) - skipped, count - done)
            first = int(self._starts[piece]) + skipped
            found[done : done + take] = self._ids[first : first + take]
            done, skipped, piece = done + take, 0, (piece + 1) % self.pieces
        return found

    def joined(self) -> Array:
        """All ids in memory, (N,)."""
        if self.pieces <= FEW_PIECES:
            parts = [
                self._ids[start : start + length]
                for start, length in zip(self._starts, self._lengths, strict=True)
            ]
            return np.roll(np.concatenate(parts), -self._offset)
        whole = np.empty(len(self), self._ids.dtype)
        end = 0
        for first in range(0, self.pieces, COPIED_PIECES):
            lengths = self._lengths[first : first + COPIED_PIECES]
            shift = self._starts[first : first + COPIED_PIECES] - (lengths.cumsum() - lengths)
            size = int(lengths.sum())
            whole[end : end + size] = self._ids[np.repeat(shift, lengths) + np.arange(size)]
            end += size
        return np.roll(whole, -self._offset)


class Streams:
    """A ring cut into equally long streams that are read side by side."""

    def __init__(self, ring: Ring, streams: int, columns: int) -> None:
        """Read the first `streams` x `columns` tokens and what follows each of them."""
        self._ring, self._streams, self._columns = ring, streams, columns
        self._inputs: Array | None = None
        if len(ring) <= JOINED_TOKENS:
            used = streams * columns
            joined = ring.joined()
            joined = np.concatenate([joined, joined[:1]])
            self._inputs = joined[:used].reshape(streams, columns)
            self._targets = joined[1 : used + 1].reshape(streams, columns)

    def window(self, start: int, width: int) -> tuple[Tensor, Tensor]:
        """Columns `start` to `start + width` at most: ids and what follows, (B, T) int64 each."""
        width = min(width, self._columns - start)
        if self._inputs is None:
            rows = [
                self._ring.read(stream * self._columns + start, width + 1)
                for stream in range(self._streams)
            ]
            both = torch.from_numpy(np.stack(rows))  # (B, T + 1)
            return both[:, :-1].contiguous(), both[:, 1:].contiguous()
        inputs = self._inputs[:, start : start + width].astype(np.int64)
        targets = self._targets[:, start : start + width].astype(np.int64)
        return torch.from_numpy(inputs), torch.from_numpy(targets)
