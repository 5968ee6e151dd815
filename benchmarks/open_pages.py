"""What open pages cost: two hundred of them beside people who submit, and each page by itself.

    python -m benchmarks.open_pages
    python -m benchmarks.open_pages --pages 200 --jobs 5000 --rounds 5

Starts a service of its own with thousands of finished jobs, times every page, then submits jobs in
turns without and with `--pages` live streams on a running training, in one run. Prints as well how
old an event is when it arrives, and what the streams cost the web process.
"""

import argparse
import contextlib
import os
import re
import selectors
import socket
import statistics
import tempfile
import threading
import time
from collections.abc import Iterator
from contextlib import closing
from datetime import datetime
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit

import click
import httpx
import sqlalchemy as sa

from benchmarks.service import running
from worker import database
from worker.backend import open_backend
from worker.settings import Settings

LESSON = "what is your name : Jay\nwhat is capital of India : Delhi\nok\n"
PROSE = "the cat sat on the mat, and the dog lay by the door of the house.\n" * 400
TURN = 12  # submissions in a row
TIMES = 15  # a page is asked
AT = re.compile(rb'"type": ?"(\w+)", ?"at": ?"([^"]+)"')


def main() -> None:
    """Measure and print."""
    parser = argparse.ArgumentParser(description=__doc__.split("\n")[0])
    parser.add_argument("--pages", type=int, default=200, help="job pages open at once")
    parser.add_argument("--jobs", type=int, default=5000, help="finished jobs in the records")
    parser.add_argument("--rounds", type=int, default=5, help="turns without and with open pages")
    arguments = parser.parse_args()
    with tempfile.TemporaryDirectory(prefix="lstmq-") as folder, running(Path(folder)) as service:
        url, web = service
        with httpx.Client(base_url=url, timeout=60) as client:
            first = submit(client, LESSON)
            client.get(f"/api/v1/jobs/{first}", params={"wait": 60})
            fill(Path(folder), first, arguments.jobs)
            config = {"preset": "char", "training": {"epochs": 100_000}}
            watched = submit(client, PROSE, config)
            time_pages(client, first, watched, arguments.jobs)
            compare(client, url, web, watched, arguments)


def compare(
    client: httpx.Client, url: str, web: int, watched: str, arguments: argparse.Namespace
) -> None:
    """Turns of submissions without and with open pages."""
    alone: list[float] = []
    beside: list[float] = []
    ages: dict[str, list[float]] = {}
    shares: list[float] = []
    for _ in range(arguments.rounds):
        alone += turn(client)
        with open_pages(url, watched, arguments.pages, ages) as count:
            time.sleep(1.0)
            used, began = processor_seconds(web), time.monotonic()
            time.sleep(3.0)
            shares.append((processor_seconds(web) - used) / (time.monotonic() - began))
            beside += turn(client)
            connected = count()
    click.echo(f"\nsubmissions, ms               p50     p95     ({len(alone)} each, in turns)")
    for name, found in (("no page open", alone), (f"{connected} pages open", beside)):
        click.echo(f"  {name:<22} {middle(found):>9.1f} {high(found):>7.1f}")
    click.echo(f"  ratio of p50 {middle(beside) / middle(alone):.2f}")
    click.echo("\nage of an event when it arrives, ms (the worker writes twice a second)")
    for kind, found in sorted(ages.items()):
        click.echo(
            f"  {kind:<22} {middle(found):>9.0f} {high(found):>7.0f}     ({len(found)} arrivals)"
        )
    click.echo(f"\nthe web process uses {100 * statistics.mean(shares):.0f} % of a core for them")


def time_pages(client: httpx.Client, first: str, watched: str, jobs: int) -> None:
    """The server's time for every page, and its bytes."""
    addresses = {
        "start": "/",
        f"list of {jobs:,} jobs": "/jobs",
        "list, by name": "/jobs?sort=name",
        "list, searched": "/jobs?q=copy+49",
        "a finished job": f"/jobs/{first}",
        "a running job": f"/jobs/{watched}",
        "models": "/models",
        "compare": f"/compare?job={first}&job={watched}",
        "workers": "/workers",
    }
    click.echo("page, ms                      p50     p95    bytes")
    for name, address in addresses.items():
        times = []
        for _ in range(TIMES):
            began = time.perf_counter()
            response = client.get(address)
            times.append(1000 * (time.perf_counter() - began))
            response.raise_for_status()
        size = len(response.content)
        click.echo(f"  {name:<22} {middle(times):>9.1f} {high(times):>7.1f} {size:>8,}")


def turn(client: httpx.Client) -> list[float]:
    """Milliseconds of some submissions, cancelled at once: the worker has other work."""
    times = []
    for _ in range(TURN):
        began = time.perf_counter()
        job = submit(client, LESSON)
        times.append(1000 * (time.perf_counter() - began))
        client.post(f"/api/v1/jobs/{job}/cancel")
    return times


def submit(client: httpx.Client, text: str, config: dict[str, Any] | None = None) -> str:
    """Start a training; its id."""
    body = {"kind": "train", "text": text, "config": config or {"preset": "tutorial"}}
    response = client.post("/api/v1/jobs", json=body)
    response.raise_for_status()
    return str(response.json()["id"])


@contextlib.contextmanager
def open_pages(url: str, job: str, number: int, ages: dict[str, list[float]]) -> Iterator[Any]:
    """So many live streams of a job, read by one thread that notes how old events are."""
    host, port = urlsplit(url).hostname, urlsplit(url).port
    request = (
        f"GET /api/v1/jobs/{job}/events?after={newest(url, job)} HTTP/1.1\r\n"
        f"Host: {host}:{port}\r\nAccept: text/event-stream\r\n\r\n"
    )
    selector, open_ones, done = selectors.DefaultSelector(), set[socket.socket](), threading.Event()
    for _ in range(number):
        link = socket.create_connection((host, port), timeout=10)
        link.sendall(request.encode())
        selector.register(link, selectors.EVENT_READ)

    def read() -> None:
        while not done.is_set():
            for key, _ in selector.select(0.2):
                link = key.fileobj
                data = link.recv(65536)  # type: ignore[union-attr]
                if b"text/event-stream" in data:
                    open_ones.add(link)  # type: ignore[arg-type]
                now = time.time()
                for kind, at in AT.findall(data):
                    moment = datetime.fromisoformat(at.decode().replace("Z", "+00:00"))
                    ages.setdefault(kind.decode(), []).append(1000 * (now - moment.timestamp()))
                if not data:
                    selector.unregister(link)

    thread = threading.Thread(target=read)
    thread.start()
    try:
        yield lambda: len(open_ones)
    finally:
        done.set()
        thread.join()
        for key in list(selector.get_map().values()):
            key.fileobj.close()  # type: ignore[union-attr]


def newest(url: str, job: str) -> int:
    """The newest event of a job."""
    last = 0
    while True:
        page = httpx.get(f"{url}/api/v1/jobs/{job}/events", params={"after": last}).json()
        last = page["data"][-1]["id"] if page["data"] else last
        if not page["has_more"]:
            return last


def fill(folder: Path, job: str, number: int) -> None:
    """Copies of a finished job, until there are so many."""
    table = database.jobs
    with closing(open_backend(Settings(data_dir=folder / "var"))) as backend:
        with backend.database.reading() as connection:
            row = connection.execute(sa.select(table).where(table.c.id == job)).one()._asdict()
        copies = [
            row | {"id": f"job-copy-{i:08d}", "name": f"copy {i}", "idempotency_key": None}
            for i in range(number)
        ]
        with backend.database.writing() as connection:
            connection.execute(sa.insert(table), copies)


def processor_seconds(process: int) -> float:
    """Processor time of the web server's processes so far (Linux)."""
    children = Path(f"/proc/{process}/task/{process}/children").read_text().split()
    ticks = 0
    for one in (str(process), *children):
        fields = Path(f"/proc/{one}/stat").read_text().rpartition(")")[2].split()
        ticks += int(fields[11]) + int(fields[12])
    return ticks / os.sysconf("SC_CLK_TCK")


def middle(times: list[float]) -> float:
    """The median."""
    return statistics.median(times) if times else float("nan")


def high(times: list[float]) -> float:
    """The 95th percentile."""
    return sorted(times)[int(0.95 * (len(times) - 1))] if times else float("nan")


if __name__ == "__main__":
    main()
