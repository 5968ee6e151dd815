"""The images are built once; every test finds the same deployment, up."""

import os
import subprocess
from collections.abc import Iterator

import pytest

from tests.compose.deployment import BUILD_SECONDS, Deployment


@pytest.fixture(scope="session")
def tag() -> Iterator[str]:
    """Of images that are ours alone: an installation on this machine keeps its own."""
    name = f"test-{os.getpid()}"
    yield name
    images = [f"lstmq-{part}:{name}" for part in ("web", "worker")]
    subprocess.run(["docker", "image", "rm", *images], capture_output=True, check=False)


@pytest.fixture(scope="session")
def deployment(tag: str, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Deployment]:
    made = Deployment(tmp_path_factory.mktemp("deployment"), tag, LSTMQ_MAX_ACTIVE_JOBS="0")
    made.compose("build", seconds=BUILD_SECONDS)
    try:
        made.compose("up", "-d", "--wait", "--no-build")
        yield made
    finally:
        made.down()
