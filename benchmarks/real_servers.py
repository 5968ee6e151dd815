"""A Redis and a Postgres of one's own, both as safe as in earnest, and what they use meanwhile."""

import os
import shutil
import subprocess
import sys
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from tests.processes import await_redis
from tests.worker.servers import find_postgres, postgres

TICKS = os.sysconf("SC_CLK_TCK")


@contextmanager
def redis_server() -> Iterator[str]:
    """The URL of a Redis with an append-only file, as the compose file has it."""
    program = shutil.which("redis-server")
    if program is None:
        sys.exit("no Redis here: sudo apt-get install redis-server")
    with tempfile.TemporaryDirectory(prefix="lstmq-redis-") as folder:
        socket = Path(folder) / "socket"
        safe = ("--appendonly", "yes", "--appendfsync", "everysec", "--save", "")
        process = subprocess.Popen(  # noqa: S603 - Debian's
            [program, "--port", "0", "--unixsocket", socket, "--dir", folder, *safe],
            stdout=subprocess.DEVNULL,
        )
        try:
            await_redis(f"unix://{socket}")
            yield f"unix://{socket}"
        finally:
            process.terminate()
            process.wait()


@contextmanager
def postgres_server() -> Iterator[str]:
    """The URL of an empty database that syncs the disk before it answers."""
    programs = find_postgres()
    if programs is None:
        sys.exit("no Postgres here: sudo apt-get install postgresql")
    with postgres(programs, durable=True) as server:
        yield f"{server}/postgres"


def processor_seconds(program: str) -> float:
    """Used so far by all processes of a program, and by their children that ended (Linux)."""
    used = 0.0
    for stat in Path("/proc").glob("[0-9]*/stat"):
        try:
            name, _, rest = stat.read_text().partition("(")[2].rpartition(")")
        except OSError:
            continue  # it has ended
        if name == program:
            used += sum(int(ticks) for ticks in rest.split()[11:15]) / TICKS
    return used


def disk_seconds(folder: Path) -> float:
    """How long the disk of a folder has been busy so far (Linux)."""
    device = folder.stat().st_dev
    for line in Path("/proc/diskstats").read_text().splitlines():
        major, minor, _, *counts = line.split()
        if (int(major), int(minor)) == (os.major(device), os.minor(device)):
            return int(counts[9]) / 1000
    return 0.0
