"""Threads follow the cores a worker may use, by either kind of cgroups, and who shares them."""

import os
import subprocess
import sys
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

import pytest

from worker import cores
from worker.backend import Backend
from worker.live import Live
from worker.records import WorkerInfo

WORKER = WorkerInfo(
    name="train-1@here",
    queue="train",
    host="here",
    pid=1,
    started_at=0.0,
    seen_at=0.0,
    job=None,
    threads=1,
    version="1",
    place=cores.place(),
)


def limited(root: Path, path: str, quota: str) -> None:
    folder = root / path.lstrip("/")
    folder.mkdir(parents=True, exist_ok=True)
    (folder / "cpu.max").write_text(f"{quota} 100000\n")


def limited_v1(root: Path, path: str, quota: str) -> None:
    folder = root / "cpu" / path.lstrip("/")
    folder.mkdir(parents=True, exist_ok=True)
    (folder / "cpu.cfs_quota_us").write_text(f"{quota}\n")
    (folder / "cpu.cfs_period_us").write_text("100000\n")


@pytest.mark.parametrize(
    ("write", "group", "no_limit"),
    [(limited, "0::", "max"), (limited_v1, "4:memory:/x\n2:cpu,cpuacct:", "-1")],
)
def test_the_tightest_quota_up_to_the_root_counts(
    tmp_path: Path, write: Callable[[Path, str, str], None], group: str, no_limit: str
) -> None:
    own, root = tmp_path / "own", tmp_path / "groups"
    own.write_text(f"{group}/all/mine\n")
    assert cores.quota_cores(root, own) is None  # nothing to be read
    write(root, "/all/mine", no_limit)
    assert cores.quota_cores(root, own) is None
    write(root, "/all", "250000")
    assert cores.quota_cores(root, own) == 2.5
    write(root, "/all/mine", "50000")
    assert cores.quota_cores(root, own) == 0.5
    write(root, "/", "20000")  # a container's own group, which it sees as the root
    assert cores.quota_cores(root, own) == 0.2
    own.unlink()
    assert cores.quota_cores(root, own) is None


def test_what_is_asked_for_is_never_more_than_there_is(backend: Backend) -> None:
    assert cores.threads(1, backend.live) == 1
    assert cores.threads(10_000, backend.live) == cores.most()


def test_a_share_is_divided_among_the_trainings_of_the_same_cores(
    backend: Backend, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(os, "sched_getaffinity", lambda _: {*range(8)})
    here = replace(WORKER, place=cores.place())
    assert cores.share(backend.live) == 8  # not even itself has reported yet
    for number in range(3):
        backend.live.report_worker(replace(here, name=f"train-{number}@here"))
    backend.live.report_worker(replace(here, name="train-9@there", place="another:0,1"))
    backend.live.report_worker(replace(here, name="predict-1@here", queue="predict"))
    assert cores.share(backend.live) == 8 // 3
    for number in range(20):
        backend.live.report_worker(replace(here, name=f"train-{number}@here"))
    assert cores.share(backend.live) == 1


def test_nobody_knows_who_is_beside_while_redis_is_away(tmp_path: Path) -> None:
    assert cores.share(Live(f"unix://{tmp_path}/nobody.sock")) == 1


@pytest.mark.skipif(sys.platform != "linux", reason="taskset is Linux's")
def test_a_process_on_one_core_takes_one_thread() -> None:
    code = (
        "import os; os.sched_setaffinity(0, {min(os.sched_getaffinity(0))})\n"
        "from worker import cores; cores.limit(cores.most())\n"
        "import torch; print(cores.most(), torch.get_num_threads())"
    )
    done = subprocess.run(
        [sys.executable, "-c", code], capture_output=True, text=True, timeout=60, check=True
    )
    assert done.stdout.split() == ["1", "1"]
