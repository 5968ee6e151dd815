"""The whole document against the whole service, by schemathesis: `make test-api`.

No server error, no status, header, content type or body that is not described, nothing taken that
the description forbids. What is left out, and why, is in `schemathesis.toml`.
"""

import json
import os
import subprocess
import sys
from pathlib import Path

import httpx
import pytest

from tests.api.conftest import KEY

SECONDS = os.environ.get("LSTMQ_TEST_API_SECONDS", "150")
CONFIG = Path(__file__).with_name("schemathesis.toml")


@pytest.mark.timeout(600)
def test_every_answer_is_one_that_the_document_describes(url: str, tmp_path: Path) -> None:
    run = subprocess.run(
        [
            *(sys.executable, "-m", "schemathesis.cli", "--config-file", CONFIG),
            *("run", f"{url}/api/v1/openapi.json", "--header", f"Authorization: Bearer {KEY}"),
            *("--max-time", SECONDS, "--seed", os.environ.get("SEED", "1")),
        ],
        capture_output=True,
        text=True,
        check=False,
        cwd=tmp_path,
    )
    assert run.returncode == 0, run.stdout[-20_000:] + run.stderr
    assert httpx.get(f"{url}/healthz").status_code == 200


def test_the_document_is_the_one_of_this_version(url: str) -> None:
    document = httpx.get(
        f"{url}/api/v1/openapi.json", headers={"Authorization": f"Bearer {KEY}"}
    ).text
    assert json.loads(document)["openapi"] == "3.1.0"
