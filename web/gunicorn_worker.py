"""Gunicorn's threaded worker, made patient with slow clients without giving them a thread each.

Gunicorn 27 gives a connection a thread as soon as it is open, waits there for its headers without
end, and waits for a client's end of a closed connection in its only loop: 64 silent clients stop a
server of 64 threads. Here a connection costs a thread only once its headers have arrived whole,
whatever is awaited of a client is awaited so long and no longer, and when there are too many
connections those go first that have sent nothing useful yet.
"""

import errno
import io
import socket
import time
from collections import deque
from concurrent.futures import Future
from contextlib import suppress
from functools import partial
from selectors import EVENT_READ
from typing import Any

from gunicorn.glogging import Logger
from gunicorn.workers.gthread import TConn, ThreadWorker

HEAD_SECONDS = 10.0  # from a connection's beginning to the end of its headers
LARGEST_HEAD_BYTES = 64 * 1024
WAIT_SECONDS = 20.0  # for the next bytes of a body, or for room to send some
GRACE_SECONDS = 20.0  # then a body must have come at
SLOWEST_BYTES_A_SECOND = 4096
LINGER_SECONDS = 2.0  # for a client to read the rest of its answer
LINGER_BYTES = 256 * 1024  # that it may still send meanwhile
ROOM = 16  # connections kept free for whoever comes next
END = b"\r\n\r\n"
TOO_LARGE = (
    b"HTTP/1.1 431 Request Header Fields Too Large\r\n"
    b"Connection: close\r\nContent-Length: 0\r\n\r\n"
)


class QuietLogger(Logger):  # type: ignore[misc]  # gunicorn has no types
    """Has no line for each request: the application writes its own (`request_id`)."""

    def access(self, resp: Any, req: Any, environ: Any, request_time: Any) -> None:
        """Nothing; gunicorn would gather what it could say before it asks whether to say it."""


class PatientSocket(socket.socket):
    """A client's socket: slow or gone, it reads as ended and writes as broken."""

    def __init__(self, plain: socket.socket) -> None:
        super().__init__(plain.family, plain.type, plain.proto, fileno=plain.detach())
        self._began, self._received, self._over = time.monotonic(), 0, False

    def setblocking(self, flag: bool, /) -> None:
        """Gunicorn's word for "a request begins"."""
        self.settimeout(WAIT_SECONDS if flag else 0.0)
        if flag:
            self._began, self._received, self._over = time.monotonic(), 0, False

    def recv(self, size: int, flags: int = 0, /) -> bytes:
        """The next bytes; none when the client keeps us waiting."""
        waited = time.monotonic() - self._began
        if self._over or waited > GRACE_SECONDS + self._received / SLOWEST_BYTES_A_SECOND:
            self._over = True
            return b""
        try:
            data = super().recv(size, flags)
        except (TimeoutError, ConnectionError):
            data = b""
        self._over = not data
        self._received += len(data)
        return data

    def sendall(self, data: Any, flags: int = 0, /) -> None:
        """Send it all. Raises ConnectionResetError when the client does not read."""
        try:
            super().sendall(data, flags)
        except TimeoutError as error:
            raise ConnectionResetError(errno.ECONNRESET, "the client does not read") from error

    def sendfile(self, file: Any, offset: int = 0, count: int | None = None) -> int:
        """The same for a file."""
        try:
            return super().sendfile(file, offset, count)
        except TimeoutError as error:
            raise ConnectionResetError(errno.ECONNRESET, "the client does not read") from error


class Connection(TConn):  # type: ignore[misc]  # gunicorn has no types
    """A connection and what has come of the headers of its next request."""

    head = b""

    def init(self) -> None:
        """Called in the thread of a request: hand over what the loop has read."""
        super().init()
        if self.head:
            self.parser.unreader.unread(self.head)
            self.head = b""

    def read_head(self) -> bool | None:
        """Read what is there: whether the headers are whole; None: nothing will come of it."""
        try:
            data = socket.socket.recv(self.sock, io.DEFAULT_BUFFER_SIZE)
        except BlockingIOError:
            return False
        except OSError:
            return None
        searched = max(0, len(self.head) - len(END) + 1)
        self.head += data
        if not data:
            return None
        if self.head.find(END, searched) >= 0:
            return True
        if len(self.head) > LARGEST_HEAD_BYTES:
            with suppress(OSError):
                self.sock.send(TOO_LARGE)
            return None
        return False


class Worker(ThreadWorker):  # type: ignore[misc]
    """Reads headers in the loop and requests in threads."""

    def __init__(self, *args: Any, **kwargs: Any) -> None:
        super().__init__(*args, **kwargs)
        self._lingering: deque[tuple[float, Connection]] = deque()

    def accept(self, listener: socket.socket) -> None:
        """Take a connection in, to wait for its headers."""
        try:
            plain, address = listener.accept()
        except OSError as error:
            if error.errno in (errno.EAGAIN, errno.ECONNABORTED, errno.EWOULDBLOCK):
                return
            raise
        self.nr_conns += 1
        self._make_room()
        connection = Connection(self.cfg, PatientSocket(plain), address, listener.getsockname())
        self._await_head(connection)

    def on_client_socket_readable(self, connection: Connection, client: Any) -> None:
        """A connection that was kept begins another request."""
        self.poller.unregister(client)
        self.keepalived_conns.remove(connection)
        self._await_head(connection)

    def on_pending_socket_readable(self, connection: Connection, client: Any) -> None:
        """More of the headers has come."""
        whole = connection.read_head()
        if whole is False:
            return
        self.poller.unregister(client)
        self.pending_conns.remove(connection)
        if whole is None:
            self._close(connection)
        else:
            connection.data_ready = True
            self.enqueue_req(connection)

    def finish_request(self, connection: Connection, done: "Future[Any]") -> None:
        """A request is over: wait for the next one, or close without waiting in the loop."""
        try:
            keep = bool(done.result()) if not done.cancelled() else False
        except Exception:  # noqa: BLE001 - whatever it was, the worker has logged it
            self._close(connection)
            return
        if not keep:
            self._linger(connection)
            return
        connection.head = connection.parser.unreader.take_buffered()
        if END in connection.head:
            self.enqueue_req(connection)
        elif connection.head:
            self._await_head(connection)
        else:
            super().finish_request(connection, done)

    def murder_pending(self) -> None:
        """Close what has kept us waiting for too long."""
        super().murder_pending()
        while self._lingering and self._lingering[0][0] < time.monotonic():
            self._end_lingering(self._lingering[0][1])

    def _await_head(self, connection: Connection) -> None:
        connection.sock.setblocking(False)
        connection.timeout = time.monotonic() + HEAD_SECONDS
        self.pending_conns.append(connection)
        self.poller.register(
            connection.sock, EVENT_READ, partial(self.on_pending_socket_readable, connection)
        )

    def _linger(self, connection: Connection) -> None:
        """Say that we are done and give the client a moment to read it."""
        try:
            connection.sock.setblocking(False)
            connection.sock.shutdown(socket.SHUT_WR)
        except OSError:
            self._close(connection)
            return
        self._lingering.append((time.monotonic() + LINGER_SECONDS, connection))
        left = LINGER_BYTES

        def discard(_client: Any) -> None:
            nonlocal left
            try:
                data = socket.socket.recv(connection.sock, io.DEFAULT_BUFFER_SIZE)
            except BlockingIOError:
                return
            except OSError:
                data = b""
            left -= len(data)
            if not data or left < 0:
                self._end_lingering(connection)

        self.poller.register(connection.sock, EVENT_READ, discard)

    def _end_lingering(self, connection: Connection) -> None:
        self._lingering = deque(item for item in self._lingering if item[1] is not connection)
        self.poller.unregister(connection.sock)
        self._close(connection)

    def _make_room(self) -> None:
        """Close the connection that has waited longest, when there are nearly too many."""
        if self.nr_conns <= self.worker_connections - ROOM:
            return
        waiting = self.pending_conns or self.keepalived_conns
        if waiting:
            oldest = waiting.popleft()
            self.poller.unregister(oldest.sock)
            self._close(oldest)

    def _close(self, connection: Connection) -> None:
        self.nr_conns -= 1
        connection.close()


def raise_open_files(wanted: int) -> None:
    """Let this process hold so many files open, as far as the system allows it."""
    import resource  # noqa: PLC0415 - only here

    soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    if soft < wanted:
        limit = wanted if hard == resource.RLIM_INFINITY else min(wanted, hard)
        resource.setrlimit(resource.RLIMIT_NOFILE, (limit, hard))
