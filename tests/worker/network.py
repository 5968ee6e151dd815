"""A line between two real programs that a test can cut, or make swallow everything."""

import contextlib
import socket
import threading
import time
from typing import Literal

State = Literal["works", "refuses", "hangs"]
BUFFER_BYTES = 65536


class Line:
    """Forwards connections to a port of 127.0.0.1, as long as it `works`."""

    def __init__(self, port: int) -> None:
        self._target = ("127.0.0.1", port)
        self._state: State = "works"
        self._sockets: set[socket.socket] = set()
        self._listener = socket.create_server(("127.0.0.1", 0))
        self.port: int = self._listener.getsockname()[1]
        self.delay_seconds = 0.0  # of every piece of an answer
        threading.Thread(target=self._accept, daemon=True).start()

    def set(self, state: State) -> None:
        """Refusing cuts what is open; hanging keeps it and moves nothing."""
        self._state = state
        if state != "hangs":
            self._cut()

    def close(self) -> None:
        """Nothing is listened to any more."""
        self._listener.close()
        self._cut()

    def _cut(self) -> None:
        for each in list(self._sockets):
            with contextlib.suppress(OSError):
                each.shutdown(socket.SHUT_RDWR)

    def _accept(self) -> None:
        while True:
            try:
                client, _ = self._listener.accept()
            except OSError:
                return
            if self._state == "refuses":
                client.close()
                continue
            threading.Thread(target=self._serve, args=(client,), daemon=True).start()

    def _serve(self, client: socket.socket) -> None:
        with client, socket.create_connection(self._target) as server:
            both = {client, server}
            self._sockets |= both
            answers = threading.Thread(target=self._move, args=(server, client))
            answers.start()
            self._move(client, server)
            answers.join()
            self._sockets -= both

    def _move(self, source: socket.socket, sink: socket.socket) -> None:
        with contextlib.suppress(OSError):
            while data := source.recv(BUFFER_BYTES):
                if self._state == "hangs":
                    continue  # swallowed: who sent it waits for an answer
                if source.getpeername() == self._target:
                    time.sleep(self.delay_seconds)
                sink.sendall(data)
        for each in (source, sink):
            with contextlib.suppress(OSError):
                each.shutdown(socket.SHUT_RDWR)
