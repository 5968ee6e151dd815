"""The images are built once; every test finds the same deployment, up."""

from collections.abc import Iterator

import pytest

from tests.compose.deployment import BUILD_SECONDS, DOWN_SECONDS, Deployment


@pytest.fixture(scope="session")
def deployment(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Deployment]:
    made = Deployment(tmp_path_factory.mktemp("deployment"), LSTMQ_MAX_ACTIVE_JOBS="0")
    made.compose("build", seconds=BUILD_SECONDS)
    try:
        made.compose("up", "-d", "--wait", "--no-build")
        yield made
    finally:
        made.compose("down", "-v", seconds=DOWN_SECONDS)
