"""How fast the service answers, beside what people would use instead; everything in one run.

    python -m benchmarks.serving --litserve PYTHON

- Next words over HTTP through the queue, of a 1x128 model that is warm, against LitServe with the
  same model in its own process, at 1 and at 64 clients; in turns, three rounds, the median.
- The first piece of a stream.
- Polls of a job against a bare Flask route that answers JSON, under the same gunicorn settings,
  with few and with 100,000 jobs recorded.
- Submits a second.
- What one message over Celery costs, there and back.

The clients run beside the servers on the same machine. PYTHON is that of an environment with
litserve; without it that part is left out.
"""

import argparse
import statistics
import tempfile
import time
from contextlib import closing
from pathlib import Path

import httpx
import redis

from benchmarks.http_load import Load, first_piece, load, request_of
from benchmarks.queue_scale import fill
from benchmarks.serving_rivals import (
    bare_flask,
    echo_worker,
    import_model,
    litserve,
    make_model,
    prompts,
    service,
)
from benchmarks.side_by_side import Table
from worker.backend import Backend, open_backend

ROUNDS = 3
MANY = 64
RECORDED = 100_000


def main() -> None:
    """Print the table; exit 1 when something was not reached."""
    parser = argparse.ArgumentParser(description=(__doc__ or "").partition("\n")[0])
    parser.add_argument("--litserve", help="python with litserve installed")
    parser.add_argument("--seconds", type=float, default=4.0, help="of each measurement")
    parser.add_argument(
        "--only", nargs="*", default=["predict", "stream", "poll", "submit", "celery"]
    )
    given = parser.parse_args()
    table = Table("serving")
    with tempfile.TemporaryDirectory(prefix="lb-", dir="/tmp") as folder:
        base = Path(folder)
        model = make_model(base / "model")
        with service(base) as (port, settings), closing(open_backend(settings)) as backend:
            name = import_model(port, model)
            if "predict" in given.only:
                predictions(table, port, name, model, given)
            if "stream" in given.only:
                streams(table, port, name)
            if "celery" in given.only:
                messages(table, backend)
            if "submit" in given.only:
                submits(table, port, given.seconds)
            if "poll" in given.only:
                polls(table, port, backend, given.seconds)
    table.print()


def predictions(table: Table, port: int, name: str, model: Path, given: argparse.Namespace) -> None:
    """Next words, ours and LitServe's in turns."""
    ours = [
        request_of("POST", f"/api/v1/models/{name}/predict",
                   {"prompt": prompt, "sampling": {"max_tokens": 1, "temperature": 0}})
        for prompt in prompts()
    ]  # fmt: skip
    theirs = [request_of("POST", "/predict", {"prompt": prompt}) for prompt in prompts()]
    rivals = {"ours": (port, ours)}
    with litserve(given.litserve, model, 1) as plain, \
         litserve(given.litserve, model, MANY) as batched:  # fmt: skip
        if plain and batched:
            rivals |= {"litserve": (plain, theirs), "litserve, batching": (batched, theirs)}
        seen = {clients: turns(rivals, clients, given.seconds) for clients in (1, MANY)}
    for clients, loads in seen.items():
        for rival, found in loads.items():
            table.add(f"{rival}, {clients} clients", _told(found))
    if given.litserve:
        for share, most in ((0.5, 2.0), (0.99, 3.0)):
            value = ratio(
                seen[1], lambda found, share=share: found.percentile(share), "ours", "litserve"
            )
            table.judge(f"p{share * 100:g} at 1 client over LitServe's", value, most=most)
        for rival, least in (("litserve", 1.0), ("litserve, batching", 1.0)):
            value = ratio(seen[MANY], lambda found: found.rate, "ours", rival)
            table.judge(f"throughput at {MANY} clients over {rival}", value, least=least)


def streams(table: Table, port: int, name: str) -> None:
    """How long until the first piece of a text."""
    body = {"prompt": prompts()[0], "stream": True, "sampling": {"max_tokens": 64}}
    request = request_of("POST", f"/api/v1/models/{name}/predict", body, "Connection: close\r\n")
    seconds = sorted(first_piece(port, request) for _ in range(60))[5:]
    table.judge(
        "first piece of a stream, p50", 1000 * statistics.median(seconds), most=30, unit=" ms"
    )
    table.judge("first piece of a stream, p95", 1000 * seconds[-3], most=30, unit=" ms")


def messages(table: Table, backend: Backend) -> None:
    """One message over Celery and an answer over Redis, and the same over Redis alone."""
    client = redis.Redis.from_url(backend.settings.effective_redis_url)
    with echo_worker(backend.settings):
        times = []
        for number in range(220):
            key, began = f"bench:{number}", time.perf_counter()
            backend.doorbell.send("echo", (key, "x"), "echo")
            client.blpop([key], timeout=30)
            times.append(time.perf_counter() - began)
        table.add(
            "one message over Celery, there and back, p50",
            f"{1000 * statistics.median(times[20:]):.2f} ms",
        )
    times = []
    for number in range(200):
        began = time.perf_counter()
        client.rpush(f"bench:{number}", "x")
        client.blpop([f"bench:{number}"], timeout=30)
        times.append(time.perf_counter() - began)
    table.add("two commands to Redis, p50", f"{1000 * statistics.median(times):.2f} ms")


def submits(table: Table, port: int, seconds: float) -> None:
    """Trainings that are accepted; no worker runs, so they wait."""
    with httpx.Client(base_url=f"http://127.0.0.1:{port}") as client:
        dataset = client.post("/api/v1/datasets", json={"text": "a b c d e\n" * 20}).json()["id"]
    body = {"kind": "train", "dataset": dataset, "config": {"preset": "word"}}
    found = load(port, [request_of("POST", "/api/v1/jobs", body)], 8, seconds)
    table.add("submits, 8 clients", _told([found]))
    table.judge("submits a second", found.rate, least=100, unit="/s")


def polls(table: Table, port: int, backend: Backend, seconds: float) -> None:
    """A finished job asked for again and again, with few and with many recorded."""
    rates = {}
    for recorded in (1_000, RECORDED):
        with backend.database.writing() as connection:
            connection.exec_driver_sql("delete from events")
            connection.exec_driver_sql("delete from jobs")
        fill(backend, recorded, 0)
        with backend.database.writing() as connection:
            connection.exec_driver_sql("update jobs set owner = 'local'")
        job = request_of("GET", f"/api/v1/jobs/job-{7:020d}")
        with bare_flask() as bare:
            rivals = {"ours": (port, [job]), "bare": (bare, [request_of("GET", "/")])}
            seen = turns(rivals, 8, seconds)
        for rival, found in seen.items():
            table.add(f"polls, {rival}, {recorded:,} jobs", _told(found))
        share = ratio(seen, lambda found: found.rate, "ours", "bare")
        table.judge(f"polls over bare Flask's, {recorded:,} jobs", share, least=0.6)
        rates[recorded] = share
    table.judge("the same at 100,000 over at 1,000", rates[RECORDED] / rates[1_000], least=0.9)


def turns(
    rivals: dict[str, tuple[int, list[bytes]]], clients: int, seconds: float
) -> dict[str, list[Load]]:
    """Each rival once a round, after a warm-up."""
    seen: dict[str, list[Load]] = {rival: [] for rival in rivals}
    for number in range(ROUNDS + 1):
        for rival, (port, requests) in rivals.items():
            found = load(port, requests, clients, seconds if number else 1.0)
            if number:
                seen[rival].append(found)
    return seen


def ratio(seen: dict[str, list[Load]], figure: object, one: str, other: str) -> float:
    """Of a figure, `one` over `other` in the median round."""
    pairs = zip(seen[one], seen[other], strict=True)
    return statistics.median(figure(a) / figure(b) for a, b in pairs)  # type: ignore[operator]


def _told(found: list[Load]) -> str:
    middle = sorted(found, key=lambda each: each.rate)[len(found) // 2]
    failed = sum(each.failures for each in found)
    half, most = middle.percentile(0.5), middle.percentile(0.99)
    text = f"{middle.rate:,.0f}/s, p50 {half:.1f} ms, p99 {most:.1f} ms"
    return text + (f", {failed} FAILED" if failed else "")


if __name__ == "__main__":
    main()
