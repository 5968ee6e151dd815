"""A line that breaks: a proxy that lets through so many bytes of each answer, then hangs up."""

import contextlib
import socket
import threading
from collections.abc import Iterator
from urllib.parse import urlsplit


class Line:
    """Connections to a server; each breaks off after `budget` bytes of answers, 0: at once.

    `breaks`: so many times, then no more; None: always.
    """

    def __init__(self, target: str, budget: int | None, breaks: int | None = None) -> None:
        self.budget = budget  # bytes; None: it never breaks
        self._breaks = breaks
        self.connections = 0
        place = urlsplit(target)
        self._target = (place.hostname or "", place.port or 0)
        self._listener = socket.create_server(("127.0.0.1", 0))
        self.url = f"http://127.0.0.1:{self._listener.getsockname()[1]}"
        self._threads = [threading.Thread(target=self._accept)]
        self._threads[0].start()

    def close(self) -> None:
        self._listener.shutdown(socket.SHUT_RDWR)
        self._listener.close()
        for thread in self._threads:
            thread.join()

    def _accept(self) -> None:
        with contextlib.suppress(OSError):  # closed
            while True:
                client, _ = self._listener.accept()
                self.connections += 1
                thread = threading.Thread(target=self._serve, args=(client,))
                self._threads.append(thread)
                thread.start()

    def _serve(self, client: socket.socket) -> None:
        left = self.budget if self._breaks is None or self.connections <= self._breaks else None
        with client, contextlib.suppress(OSError):
            if left == 0:
                return
            with socket.create_connection(self._target) as server:
                asking = threading.Thread(target=_pass_on, args=(client, server))
                asking.start()
                while data := server.recv(65536 if left is None else min(left, 65536)):
                    client.sendall(data)
                    left = None if left is None else left - len(data)
                    if left == 0:
                        break
                for end in (client, server):
                    with contextlib.suppress(OSError):
                        end.shutdown(socket.SHUT_RDWR)
                asking.join()


def _pass_on(source: socket.socket, target: socket.socket) -> None:
    with contextlib.suppress(OSError):
        while data := source.recv(65536):
            target.sendall(data)


@contextlib.contextmanager
def line_to(target: str, budget: int | None, breaks: int | None = None) -> Iterator[Line]:
    """A breaking line to a server."""
    line = Line(target, budget, breaks)
    try:
        yield line
    finally:
        line.close()
