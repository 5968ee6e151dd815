"""`python -m worker.alive`: exit 0 when a worker of this host has reported lately.

The health check of containers, where the host's name is the container's.
"""

import socket
import sys

from worker.errors import Unavailable
from worker.live import Live
from worker.settings import Settings


def main() -> int:
    """0: alive, 1: not (the reason is on standard error)."""
    live, host = Live(Settings().effective_redis_url), socket.gethostname()
    try:
        if any(info.host == host for info in live.workers()):
            return 0
        reason = f"no worker of {host} has reported lately"
    except Unavailable as error:
        reason = str(error)
    finally:
        live.close()
    sys.stderr.write(reason + "\n")
    return 1


if __name__ == "__main__":
    sys.exit(main())
