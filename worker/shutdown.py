"""One shared byte: the parent of a pool tells its children that it was asked to stop.

Celery's warm shutdown waits for the running task but does not tell it. The byte lies in anonymous
shared memory made before the fork, so that a child sees it at its next step, whatever it is doing.
"""

import mmap

_flag = mmap.mmap(-1, 1)


def begin() -> None:
    """Ask every process that shares the byte to end what it does."""
    _flag[0] = 1


def begun() -> bool:
    """Whether this worker was asked to stop."""
    return _flag[0] == 1
