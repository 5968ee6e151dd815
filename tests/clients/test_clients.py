"""The unmodified `openai` package, old and new, against the whole service: `make test-clients`."""

import os
import shutil
import subprocess
import sys
import tempfile
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.test_up import Service

VERSIONS = ("1.30.0", "1.109.1", "2.54.0", "3.54.0")
ENVIRONMENTS = Path(os.environ.get("LSTMQ_TEST_CLIENTS", Path(sys.prefix) / "clients"))
SESSION = Path(__file__).with_name("session.py")


@pytest.fixture(scope="module")
def url() -> Iterator[str]:
    """A service with everything that `lstmq up` starts."""
    parent = Path(tempfile.mkdtemp(prefix="lstmq-"))
    with Service(parent / "var") as service:
        yield service.url()
        service.stop(seconds=30)
    shutil.rmtree(parent)


@pytest.mark.timeout(300)
@pytest.mark.parametrize("version", VERSIONS)
def test_the_client_trains_and_completes(version: str, url: str, tmp_path: Path) -> None:
    python = ENVIRONMENTS / version / "bin" / "python"
    assert python.exists(), "run it with `make test-clients`, which installs the clients"
    run = subprocess.run(
        [python, SESSION, url, tmp_path],
        capture_output=True,
        text=True,
        check=False,
        env={**os.environ, "PYTHONPATH": ""},
    )
    assert run.returncode == 0, run.stderr
    assert f"openai {version}: all good" in run.stdout


def test_the_page_about_it_is_true(url: str, tmp_path: Path) -> None:
    page = (Path(__file__).parents[2] / "docs" / "openai.md").read_text()
    code = page.split("```python\n")[1].split("```")[0].replace("http://127.0.0.1:8000", url)
    program = tmp_path / "page.py"
    program.write_text(code)
    python = ENVIRONMENTS / VERSIONS[-1] / "bin" / "python"
    run = subprocess.run([python, program], capture_output=True, text=True, check=False)
    assert (run.returncode, run.stdout.strip()) == (0, "Paris"), run.stderr
