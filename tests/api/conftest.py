"""The whole service for the tests of its API, with a text and a model in it."""

import shutil
import tempfile
from collections.abc import Iterator
from pathlib import Path

import httpx
import pytest

from tests.test_up import Service
from tests.web.answers import TUTORIAL
from web.client import Client

KEY = "a-key-for-the-contract"


@pytest.fixture(scope="session")
def url() -> Iterator[str]:
    """Where it is; its limits do not end the tests."""
    parent = Path(tempfile.mkdtemp(prefix="lstmq-"))
    settings = {
        "LSTMQ_API_KEYS": f"local:{KEY}",
        "LSTMQ_MAX_REQUESTS_PER_MINUTE": "0",
        "LSTMQ_MAX_ACTIVE_JOBS": "0",
        "LSTMQ_MAX_WRONG_KEYS_PER_MINUTE": "0",
    }
    with Service(parent / "var", settings=settings) as service:
        address = service.url()
        with Client(address, KEY) as client:
            file = parent / "lesson.txt"
            file.write_text(TUTORIAL)
            dataset = client.upload(file)
            job = client.train(dataset["id"], name="lesson", config={"preset": "tutorial"})
            client.finished(job["id"], lambda _: None)
        yield address
        service.stop(seconds=60)
    shutil.rmtree(parent)


@pytest.fixture
def api(url: str) -> Iterator[httpx.Client]:
    """Asks the native API."""
    headers = {"Authorization": f"Bearer {KEY}"}
    with httpx.Client(base_url=f"{url}/api/v1", headers=headers, timeout=90) as client:
        yield client
