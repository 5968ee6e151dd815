"""One running service in one data folder: its lock, its port, its records, its supervisor."""

import contextlib
import os
import socket
from collections.abc import Callable, Iterator
from dataclasses import dataclass

from web.lock import Occupied, locked, write
from web.parts import service_parts, service_url
from web.supervisor import Say, Supervisor
from worker.backend import Backend, open_backend
from worker.keys import check_address, check_door
from worker.settings import Settings

BACKLOG = 1024


@dataclass(frozen=True)
class Service:
    """A service ready to run: `supervisor.run()` starts it."""

    supervisor: Supervisor
    url: str


@contextlib.contextmanager
def prepare(settings: Settings, say: Say, on_ready: Callable[[str], None]) -> Iterator[Service]:
    """Take the folder and the port, migrate the records, and hand out the service.

    `on_ready(url)` is called when every part is up. Raises Occupied, and ValueError for a folder
    whose path is too long for a socket, or an address beyond this machine without any key.
    """
    settings.check_socket_path()
    check_address(settings)
    settings.data_dir.mkdir(mode=0o700, parents=True, exist_ok=True)
    with (
        locked(settings.data_dir) as lock,
        contextlib.closing(open_backend(settings)) as backend,
        _listening_safely(backend) as listener,
    ):
        url = service_url(settings, listener)
        write(lock, {"pid": os.getpid(), "url": url})
        supervisor = Supervisor(
            service_parts(settings, backend, listener),
            say,
            on_ready=lambda: on_ready(url),
            keep_open=(lock.fileno(),),
        )
        yield Service(supervisor, url)


def _listening_safely(backend: Backend) -> contextlib.AbstractContextManager[socket.socket]:
    check_door(backend)
    return listening(backend.settings.host, backend.settings.port)


@contextlib.contextmanager
def listening(host: str, port: int) -> Iterator[socket.socket]:
    """The web server's socket, held by us so that the port stays ours while it is restarted.

    Raises Occupied when it cannot be had.
    """
    family, _, _, _, address = socket.getaddrinfo(host, port, type=socket.SOCK_STREAM)[0]
    with socket.socket(family) as listener:
        listener.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        try:
            listener.bind(address)
            listener.listen(BACKLOG)
        except OSError as error:
            raise Occupied(
                f"Port {port} on {host} cannot be used: {error.strerror}. Stop what listens there, "
                "or choose another with --port (0 takes a free one)."
            ) from error
        yield listener
