"""Debian's servers, started for a session of tests and removed after it."""

import os
import pwd
import shutil
import socket
import subprocess
import tempfile
import threading
from collections.abc import Iterator
from contextlib import contextmanager, nullcontext
from pathlib import Path
from typing import Any

import httpx

POSTGRES_USER = "postgres"
START_SECONDS = 30


def memory_folder() -> str | None:
    """Where files cost no disk: what a database's own fsync does is not what is tested here."""
    return "/dev/shm" if os.access("/dev/shm", os.W_OK) else None  # noqa: S108 - only its parent


def find_postgres() -> Path | None:
    """The folder of `initdb` and `postgres`, which Debian keeps off the PATH."""
    on_path = shutil.which("initdb")
    folders = [Path(on_path).resolve().parent] if on_path else []
    folders += sorted(Path("/usr/lib/postgresql").glob("*/bin"), reverse=True)
    return next((folder for folder in folders if (folder / "postgres").exists()), None)


@contextmanager
def postgres(programs: Path, *, durable: bool = False) -> Iterator[str]:
    """The URL of an empty Postgres on a free port of 127.0.0.1, without its trailing database.

    A durable one lives on the disk and syncs it before it answers, as in earnest.
    """
    parent = None if durable else memory_folder()
    folder = Path(tempfile.mkdtemp(prefix="lstmq-postgres-", dir=parent))
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        port = str(probe.getsockname()[1])
    user = _unprivileged(folder)
    data = folder / "data"
    _run([programs / "initdb", "-U", POSTGRES_USER, "-A", "trust", "-E", "UTF8", "-N", data], user)
    settings = {
        "listen_addresses": "127.0.0.1",
        "unix_socket_directories": "",
        "port": port,
        "max_connections": "200",
        "fsync": "on" if durable else "off",  # a session's data is thrown away
    }
    flags = " ".join(f"-c {name}={value or chr(39) * 2}" for name, value in settings.items())
    control = programs / "pg_ctl"
    log = folder / "log"
    try:
        _run(
            [control, "-D", data, "-l", log, "-o", flags, "-t", START_SECONDS, "-w", "start"], user
        )
        yield f"postgresql://{POSTGRES_USER}@127.0.0.1:{port}"
    finally:
        _run([control, "-D", data, "-m", "immediate", "-w", "stop"], user, check=False)
        shutil.rmtree(folder, ignore_errors=True)


def _unprivileged(folder: Path) -> str | None:
    """Postgres refuses to run as root: the folder is given to a user without rights."""
    if os.getuid() != 0:
        return None
    known = {entry.pw_name for entry in pwd.getpwall()}
    user = POSTGRES_USER if POSTGRES_USER in known else "nobody"
    entry = pwd.getpwnam(user)
    os.chown(folder, entry.pw_uid, entry.pw_gid)
    return user


def _run(words: list[object], user: str | None, *, check: bool = True) -> None:
    subprocess.run(
        [str(word) for word in words],
        user=user,
        group=None if user is None else pwd.getpwnam(user).pw_gid,
        cwd="/",
        stdout=subprocess.DEVNULL,
        check=check,
    )


@contextmanager
def s3(bucket: str, address: str = "127.0.0.1") -> Iterator[str]:
    """The endpoint of moto's server, which speaks S3 and keeps everything in memory."""
    from moto.server import ThreadedMotoServer  # noqa: PLC0415 - a second that few tests need

    server = ThreadedMotoServer(ip_address=address, port=0, verbose=False)
    server.start()
    try:
        host, port = server.get_host_and_port()
        _write_one_at_a_time(server)
        endpoint = f"http://{host}:{port}"
        httpx.put(f"{endpoint}/{bucket}").raise_for_status()
        yield endpoint
    finally:
        server.stop()


def _write_one_at_a_time(server: Any) -> None:
    """A write under a condition is one act in S3; moto looks first, and then writes."""
    app, writing = server._server.app, threading.Lock()

    def guarded(environ: dict[str, Any], start_response: Any) -> Any:
        with writing if environ["REQUEST_METHOD"] == "PUT" else nullcontext():
            return app(environ, start_response)

    server._server.app = guarded
