"""A wall clock that the harness can set, for every part on its own.

Python runs this at start when its folder is on PYTHONPATH. A file named after the process group in
the folder CHAOS_CLOCKS holds the seconds by which `time.time` is wrong there.
"""

import os
import time

_folder = os.environ.get("CHAOS_CLOCKS")
_right = time.time


def _wrong() -> float:
    try:
        with open(f"{_folder}/{os.getpgid(0)}") as file:  # noqa: PTH123 - nothing else is loaded yet
            return _right() + float(file.read())
    except (OSError, ValueError):
        return _right()


if _folder:
    time.time = _wrong
