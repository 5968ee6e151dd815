"""As little HTTP as a client needs, so that what is measured is the server.

Each client keeps one connection and asks again as soon as it has its answer. Standard library only.
"""

import asyncio
import json
import time
from dataclasses import dataclass, field
from typing import Any


@dataclass
class Load:
    """What came of some seconds of asking."""

    clients: int
    seconds: float = 0.0
    latencies: list[float] = field(default_factory=list)  # seconds
    failures: int = 0

    @property
    def rate(self) -> float:
        """Good answers a second."""
        return len(self.latencies) / self.seconds

    def percentile(self, share: float) -> float:
        """Milliseconds within which this share of the answers came."""
        ordered = sorted(self.latencies)
        return 1000 * ordered[min(len(ordered) - 1, int(share * len(ordered)))]


def request_of(method: str, path: str, body: Any = None, headers: str = "") -> bytes:
    """A request's bytes."""
    data = b"" if body is None else json.dumps(body).encode()
    kind = "Content-Type: application/json\r\n" if data else ""
    head = f"{method} {path} HTTP/1.1\r\nHost: 127.0.0.1\r\n{kind}{headers}"
    return f"{head}Content-Length: {len(data)}\r\n\r\n".encode() + data


def load(port: int, requests: list[bytes], clients: int, seconds: float) -> Load:
    """Ask for so many seconds; client after client takes the next request of the list."""
    return asyncio.run(_load(port, requests, clients, seconds))


def first_piece(port: int, request: bytes) -> float:
    """Seconds from a request to the first event of its stream."""
    return asyncio.run(_first_piece(port, request))


async def _load(port: int, requests: list[bytes], clients: int, seconds: float) -> Load:
    result = Load(clients)
    began = time.perf_counter()
    until = began + seconds
    await asyncio.gather(
        *(_ask_on(port, requests[number::clients] or requests, until, result)
          for number in range(clients))
    )  # fmt: skip
    result.seconds = time.perf_counter() - began
    return result


async def _ask_on(port: int, requests: list[bytes], until: float, result: Load) -> None:
    reader, writer = await asyncio.open_connection("127.0.0.1", port)
    number = 0
    while time.perf_counter() < until:
        began = time.perf_counter()
        writer.write(requests[number % len(requests)])
        number += 1
        status, _, closes = await _answer(reader)
        if status < 300:  # noqa: PLR2004
            result.latencies.append(time.perf_counter() - began)
        else:
            result.failures += 1
        if closes:
            writer.close()
            reader, writer = await asyncio.open_connection("127.0.0.1", port)
    writer.close()


async def _answer(reader: asyncio.StreamReader) -> tuple[int, bytes, bool]:
    """Status, body, and whether the server closes the connection."""
    head = (await reader.readuntil(b"\r\n\r\n")).lower()
    status = int(head[9:12])
    closes = b"connection: close" in head
    if b"transfer-encoding: chunked" in head:
        body = b""
        while size := int(await reader.readline(), 16):
            body += await reader.readexactly(size)
            await reader.readexactly(2)
        await reader.readexactly(2)
        return status, body, closes
    start = head.find(b"content-length:")
    length = int(head[start + 15 : head.index(b"\r\n", start)]) if start >= 0 else 0
    return status, await reader.readexactly(length), closes


async def _first_piece(port: int, request: bytes) -> float:
    reader, writer = await asyncio.open_connection("127.0.0.1", port)
    began = time.perf_counter()
    writer.write(request)
    while b"data:" not in (await reader.readline()):
        pass
    seconds = time.perf_counter() - began
    await reader.read()  # to its end, so that the next one finds nothing in its way
    writer.close()
    return seconds
