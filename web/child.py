"""One process of the service: started in a process group of its own, heard, and ended whole.

Its children (Celery's pool child, gunicorn's workers) belong to the same group, so that ending the
group leaves nobody behind.
"""

import contextlib
import os
import signal
import subprocess
import threading
import time
from collections import deque
from collections.abc import Callable

from web.parts import Part

LAST_LINES = 15


class Child:
    """A running part. Its output goes line by line to `hear`, from a thread of its own."""

    def __init__(self, part: Part, hear: Callable[[str], None]) -> None:
        self.part = part
        self.started = time.monotonic()
        self.ready = False
        self.last_lines: deque[str] = deque(maxlen=LAST_LINES)
        self._hear = hear
        # The group must be the child's own: a Ctrl-C in the terminal is for the supervisor, which
        # then stops the parts in their order.
        self._process = subprocess.Popen(  # noqa: S603 - the commands are our own
            part.command,
            env={**os.environ, **part.environment},
            stdin=subprocess.DEVNULL,
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            text=True,
            errors="replace",
            start_new_session=True,
            pass_fds=part.pass_fds,
        )
        self._listener = threading.Thread(target=self._listen, daemon=True)
        self._listener.start()

    @property
    def pid(self) -> int:
        return self._process.pid

    @property
    def age(self) -> float:
        """Seconds since it was started."""
        return time.monotonic() - self.started

    def ended(self) -> str | None:
        """How it ended ("exit code 1", "SIGKILL"), None while it runs."""
        code = self._process.poll()
        if code is None:
            return None
        return f"exit code {code}" if code >= 0 else signal.Signals(-code).name

    def terminate(self) -> None:
        """Ask the process itself to stop; it tells its own children."""
        self._signal(os.kill, signal.SIGTERM)

    def end_group(self) -> None:
        """Kill whatever is left of the group, and wait for the last words."""
        self._signal(os.killpg, signal.SIGKILL)
        self._process.wait()
        self._listener.join(timeout=1.0)

    def _signal(self, send: Callable[[int, int], None], number: signal.Signals) -> None:
        with contextlib.suppress(ProcessLookupError, PermissionError):
            send(self._process.pid, number)

    def _listen(self) -> None:
        assert self._process.stdout is not None  # noqa: S101 - asked for a pipe above
        with self._process.stdout as lines:
            for line in lines:
                text = line.rstrip()
                if text and not any(words in text for words in self.part.unsaid):
                    self.last_lines.append(text)
                    self._hear(text)
