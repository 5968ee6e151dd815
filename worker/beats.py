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


def silent(seconds: float) -> list[int]:
    """In the parent: the children that took no step for so long."""
    found = []
    for index in range(_SLOTS):
        pid, beat_at = _SLOT.unpack_from(_memory, index * _SLOT.size)
        if pid and time.monotonic() - beat_at >= seconds and _is_child(pid):
            found.append(pid)
    return found


def working() -> bool:
    """In the parent: whether any child has something to do."""
    return any(_SLOT.unpack_from(_memory, at * _SLOT.size)[0] for at in range(_SLOTS))


def end(pid: int) -> None:
    """Kill a child that is stuck; also one that is stopped."""
    for index in range(_SLOTS):
        if _SLOT.unpack_from(_memory, index * _SLOT.size)[0] == pid:
            Heart(index).rest()
    with contextlib.suppress(ProcessLookupError):
        os.kill(pid, signal.SIGKILL)


def _is_child(pid: int) -> bool:
    """Not we ourselves (a worker without a pool), nor a stranger with a dead child's id."""
    try:
        return pid != os.getpid() and os.getpgid(pid) == os.getpgid(0)
    except ProcessLookupError:
        return False
