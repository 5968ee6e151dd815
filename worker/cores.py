"""How many threads a worker computes with: its share of the cores it may use, never more.

Libraries count the machine's cores. A container may have fewer: a set of them (cpuset, taskset)
or a share of their time (`--cpus`, cgroups' quota); threads above it only wait for each other. No
torch here: `limit` must be called before anything loads it.
"""

import os
from pathlib import Path

from worker.errors import Unavailable
from worker.live import Live

CGROUPS = Path("/sys/fs/cgroup")
OWN_GROUPS = Path("/proc/self/cgroup")
BOOT = Path("/proc/sys/kernel/random/boot_id")


def threads(asked: int, live: Live) -> int:
    """Threads for a training now: as many as asked, or (0) this worker's share; at most `most`."""
    return min(asked or share(live), most())


def share(live: Live) -> int:
    """The cores of this place, divided among the training workers that report from it."""
    here = place()
    try:
        beside = sum(info.queue == "train" and info.place == here for info in live.workers())
    except Unavailable:
        return 1  # nobody knows; one thread is never too many
    return max(1, len(_cores()) // max(1, beside))


def most() -> int:
    """The cores this process may keep busy: those it may run on, cut by a quota of their time."""
    quota = quota_cores()
    usable = len(_cores())
    return max(1, usable if quota is None else min(usable, int(quota)))


def place() -> str:
    """Names the cores this process may run on: equal for two processes that share them."""
    try:
        boot = BOOT.read_text().strip()  # one machine, whatever a container calls itself
    except OSError:
        boot = os.uname().nodename
    return f"{boot}:{','.join(map(str, _cores()))}"


def quota_cores(groups: Path = CGROUPS, own: Path = OWN_GROUPS) -> float | None:
    """The tightest quota of processor time from this process's group up to the root, in cores."""
    found = [quota for folder in _folders(groups, own) if (quota := _quota(folder)) is not None]
    return min(found, default=None)


def limit(count: int) -> None:
    """Let torch's kernels and MKL, which are loaded later, begin with so many threads.

    Texts are cut into tokens once a job, by a library of its own: on every core that is allowed.
    """
    os.environ["OMP_NUM_THREADS"] = os.environ["MKL_NUM_THREADS"] = str(count)
    os.environ["RAYON_NUM_THREADS"] = str(most())


def _cores() -> list[int]:
    if hasattr(os, "sched_getaffinity"):  # not on macOS
        return sorted(os.sched_getaffinity(0))
    return list(range(os.cpu_count() or 1))


def _folders(groups: Path, own: Path) -> list[Path]:
    """Every folder that may limit this process, for both versions of cgroups.

    Inside a container its own group is mounted as the root, so that the path may not exist there.
    """
    try:
        lines = own.read_text().splitlines()
    except OSError:
        return []
    folders = []
    for line in lines:
        _, controllers, path = line.split(":", 2)
        if controllers and "cpu" not in controllers.split(","):
            continue
        root = groups / "cpu" if controllers else groups
        inner = root / path.lstrip("/")
        folders += [inner, *(folder for folder in inner.parents if folder.is_relative_to(root))]
    return folders


def _quota(folder: Path) -> float | None:
    """Cores by `cpu.max` (cgroups 2) or `cpu.cfs_*` (1); None: no limit here."""
    try:
        try:
            quota, period = (folder / "cpu.max").read_text().split()
        except FileNotFoundError:
            quota = (folder / "cpu.cfs_quota_us").read_text()
            period = (folder / "cpu.cfs_period_us").read_text()
        cores = int(quota) / int(period)
    except (OSError, ValueError, ZeroDivisionError):
        return None  # "max", or nothing to be read
    return cores if cores > 0 else None
