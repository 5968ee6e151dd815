"""The service and what it is measured against, each started as processes of their own."""

import os
import socket
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator, Sequence
from contextlib import contextmanager, suppress
from pathlib import Path

import httpx
import torch

from benchmarks.service import running
from lstmcore.config import resolve_config
from lstmcore.corpus import read_corpus, summarize
from lstmcore.training import Trainer
from web.archive import pack
from worker.settings import Settings

ROOT = Path(__file__).parents[1]
SAMPLE = ROOT / "web" / "samples" / "facts.txt"
SITE_PACKAGES = str(Path(httpx.__file__).parents[1])
# An installation that neither trains nor limits anybody.
QUIET = {"train_workers": 0, "max_active_jobs": 0, "log_level": "warning"}


def prompts() -> list[str]:
    """Questions that the model was trained on."""
    lines = SAMPLE.read_text().splitlines()
    return [line.partition(" : ")[0] for line in lines if " : " in line][:256]


def make_model(folder: Path) -> Path:
    """A 1x128 word model after one epoch: how good it is does not matter here."""
    torch.set_num_threads(1)
    corpus = read_corpus(SAMPLE.read_bytes()).corpus
    wanted = {
        "preset": "word",
        "model": {"embed_dim": 128, "hidden_dim": 128, "layers": 1},
        "training": {"epochs": 1},
    }
    trainer = Trainer.start(resolve_config(wanted, summarize(corpus)), corpus)
    for _ in trainer.run():
        pass
    folder.mkdir()
    trainer.write_best(folder)
    return folder


def import_model(port: int, folder: Path) -> str:
    """Give the model to the service; its id."""
    files = ((path.name, iter([path.read_bytes()])) for path in sorted(folder.iterdir()))
    zipped = b"".join(pack(files, time.time()))
    address = f"http://127.0.0.1:{port}/api/v1/models"
    answer = httpx.post(address, files={"file": ("bench.zip", zipped)}, timeout=60)
    answer.raise_for_status()
    identifier: str = answer.json()["id"]
    return identifier


@contextmanager
def service(base: Path) -> Iterator[tuple[int, Settings]]:
    """`lstmq up` once it has a predictor: its port, and the settings to reach its records."""
    with running(base, **QUIET) as (url, _):
        deadline = time.monotonic() + 60
        while not httpx.get(f"{url}/api/v1/workers").json()["data"]:
            if time.monotonic() > deadline:
                sys.exit("the service has no predictor")
            time.sleep(0.2)
        yield int(url.rpartition(":")[2]), Settings(data_dir=base / "var", **QUIET)


@contextmanager
def litserve(python: str | None, model: Path, batch: int) -> Iterator[int | None]:
    """LitServe with the model; its port. None without an environment for it."""
    if python is None:
        yield None
        return
    port = free_port()
    command = [python, "-m", "benchmarks.serving_litserve", str(model), str(port), str(batch)]
    environment = {**os.environ, "LSTMQ_SITE_PACKAGES": SITE_PACKAGES, "PYTHONPATH": str(ROOT),
                   "OMP_NUM_THREADS": "1"}  # fmt: skip
    with process(command, environment):
        await_answer(f"http://127.0.0.1:{port}/health")
        yield port


@contextmanager
def bare_flask() -> Iterator[int]:
    """The bare route under the service's gunicorn settings; its port."""
    port = free_port()
    command = [sys.executable, "-m", "gunicorn", "-c", "python:web.gunicorn_conf",
               "--bind", f"127.0.0.1:{port}", "benchmarks.serving_apps:bare"]  # fmt: skip
    with tempfile.TemporaryDirectory(prefix="lb-") as folder, \
         process(command, {**os.environ, "LSTMQ_DATA_DIR": folder}):  # fmt: skip
        await_answer(f"http://127.0.0.1:{port}/")
        yield port


@contextmanager
def echo_worker(settings: Settings) -> Iterator[None]:
    """A Celery worker under the service's settings whose one task sends back what it is given."""
    environment = {**os.environ, "LSTMQ_DATA_DIR": str(settings.data_dir), "LSTMQ_BENCH_ECHO": "1"}
    command = [sys.executable, "-m", "celery", "-q", "-A", "benchmarks.serving_apps", "worker",
               "-Q", "echo", "--pool", "solo", "-l", "error",
               "--without-gossip", "--without-mingle", "--without-heartbeat"]  # fmt: skip
    with process(command, environment):
        yield


@contextmanager
def process(command: Sequence[str], environment: dict[str, str]) -> Iterator[None]:
    """A process group that ends with the block."""
    quiet = {"stdout": subprocess.DEVNULL, "stderr": subprocess.DEVNULL}
    started = subprocess.Popen(command, env=environment, cwd=ROOT, start_new_session=True, **quiet)  # noqa: S603
    try:
        yield
    finally:
        with suppress(ProcessLookupError):
            os.killpg(started.pid, 15)
        with suppress(subprocess.TimeoutExpired):
            started.wait(timeout=15)
        with suppress(ProcessLookupError):
            os.killpg(started.pid, 9)


def await_answer(url: str) -> None:
    """Until this address answers."""
    deadline = time.monotonic() + 60
    while time.monotonic() < deadline:
        with suppress(httpx.HTTPError):
            if httpx.get(url).is_success:
                return
        time.sleep(0.2)
    sys.exit(f"{url} does not answer")


def free_port() -> int:
    """A port nobody listens on."""
    with socket.create_server(("127.0.0.1", 0)) as listener:
        port: int = listener.getsockname()[1]
        return port
