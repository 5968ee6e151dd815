"""Signs of life in shared memory: the parent of a pool sees which child works and takes steps.

A thread beside the training cannot judge it alone: code that hangs may hold the interpreter, and a
stopped process runs no thread at all. So the child writes the time of its last step into anonymous
memory made before the fork, and its parent, which computes nothing, ends a child that takes none.
"""

import contextlib
import mmap
import os
import signal
import struct
import time

_SLOTS = 64  # children of one worker
_SLOT = struct.Struct("qd")  # process id, time of the last step; 0: idle

_memory = mmap.mmap(-1, _SLOTS * _SLOT.size)


class Heart:
    """The child's side; `index` is its place in the pool."""

    def __init__(self, index: int = 0) -> None:
        self._at = index % _SLOTS * _SLOT.size

    def beat(self) -> None:
        """A step was taken."""
        _SLOT.pack_into(_memory, self._at, os.getpid(), time.monotonic())

    def rest(self) -> None:
        """Nothing to do: silence is no sign of death now."""
        _SLOT.pack_into(_memory, self._at, 0, 0.0)


def end_silent(seconds: float) -> list[int]:
    """In the parent: kill the children that took no step for so long; their process ids."""
    ended = []
    for index in range(_SLOTS):
        pid, beat_at = _SLOT.unpack_from(_memory, index * _SLOT.size)
        # Never ourselves: a worker without a pool shares the memory with nobody.
        if pid in (0, os.getpid()) or time.monotonic() - beat_at < seconds:
            continue
        Heart(index).rest()
        with contextlib.suppress(ProcessLookupError):
            os.kill(pid, signal.SIGKILL)
            ended.append(pid)
    return ended
