"""A whole service in a folder of its own, for what measures it or takes its picture."""

import contextlib
import os
import re
import signal
import subprocess
import sys
import time
from collections.abc import Iterator
from pathlib import Path

START_SECONDS = 120


@contextlib.contextmanager
def running(folder: Path, **settings: object) -> Iterator[tuple[str, int]]:
    """A whole service in a folder: its address and the process of its web part.

    `settings` are `LSTMQ_*` by their names in small letters.
    """
    log = folder / "log"
    quiet = {name: value for name, value in os.environ.items() if name[:6] != "LSTMQ_"}
    limits = {"LSTMQ_MAX_ACTIVE_JOBS": "0", "LSTMQ_SLICE_SECONDS": "5"}
    limits |= {f"LSTMQ_{name.upper()}": str(value) for name, value in settings.items()}
    command = (sys.executable, "-m", "web.cli", "up", "--port", "0", "--data-dir", folder / "var")
    with log.open("w") as output:
        process = subprocess.Popen(  # noqa: S603 - our own command
            command, env=quiet | limits, stdout=output, stderr=output
        )
    try:
        deadline = time.monotonic() + START_SECONDS
        while not (found := re.search(r"ready on (\S+)", log.read_text())):
            if process.poll() is not None or time.monotonic() > deadline:
                raise SystemExit(log.read_text())
            time.sleep(0.2)
        web = re.search(r"^web +ready.*process (\d+)", log.read_text(), re.MULTILINE)
        yield found[1], int(web[1]) if web else 0
    finally:
        process.send_signal(signal.SIGINT)
        process.wait(timeout=30)
