"""Ends the parts of a service whose supervisor was killed before it could.

Started by the supervisor with one end of a pipe as standard input: a line `+PID` names a process
that leads a process group of its own, `-PID` takes it back. When the pipe ends, whatever the
reason, every group still named is asked to stop and, a moment later, killed with all its children.
The warden also inherits the installation's lock: nobody starts a second service on the same folder
while parts of the first are still there. Works on any Unix, which a parent-death signal does not.
"""

import contextlib
import os
import signal
import sys
import time

GRACE_SECONDS = 2.0


def main() -> None:
    """Read until the supervisor is gone, then end what it left."""
    for ignored in (signal.SIGINT, signal.SIGTERM, signal.SIGHUP):
        signal.signal(ignored, signal.SIG_IGN)
    leaders: set[int] = set()
    for line in sys.stdin:
        change = leaders.add if line[0] == "+" else leaders.discard
        change(int(line[1:]))
    end_groups(leaders)


def end_groups(leaders: set[int]) -> None:
    """SIGTERM to every leader, then SIGKILL to whoever of its group is left."""
    for leader in leaders:
        with contextlib.suppress(ProcessLookupError):
            os.kill(leader, signal.SIGTERM)
    deadline = time.monotonic() + GRACE_SECONDS
    while time.monotonic() < deadline and any(_is_alive(leader) for leader in leaders):
        time.sleep(0.05)
    for leader in leaders:
        with contextlib.suppress(ProcessLookupError, PermissionError):
            os.killpg(leader, signal.SIGKILL)


def _is_alive(leader: int) -> bool:
    try:
        os.killpg(leader, 0)
    except (ProcessLookupError, PermissionError):
        return False
    return True


if __name__ == "__main__":
    main()
