"""One compose project with secrets of its own."""

import json
import os
import re
import socket
import subprocess
import sys
from pathlib import Path

ROOT = Path(__file__).parents[2]
BUILD_SECONDS, UP_SECONDS, DOWN_SECONDS = 1800, 180, 120


class Deployment:
    """One compose project with secrets of its own."""

    def __init__(self, folder: Path, **settings: str) -> None:
        self.settings = settings
        self.secrets = folder / "env"
        made = [sys.executable, "-I", str(ROOT / "web" / "env_file.py"), str(self.secrets)]
        subprocess.run(made, check=True, capture_output=True)
        with socket.socket() as free:
            free.bind(("127.0.0.1", 0))
            self.port = free.getsockname()[1]
        found = re.search(r"LSTMQ_API_KEYS=admin:(\S+)", self.secrets.read_text())
        assert found
        self.key, self.url = found[1], f"http://127.0.0.1:{self.port}"
        self.project = f"lstmq-test-{os.getpid()}-{self.port}"

    def compose(self, *arguments: str, seconds: int = UP_SECONDS) -> str:
        """Run docker compose; its output, or a failure that shows it."""
        command = ["docker", "compose", "-p", self.project, "--env-file", str(self.secrets)]
        run = subprocess.run(
            [*command, *arguments],
            cwd=ROOT,
            env={**os.environ, "LSTMQ_PORT": str(self.port), **self.settings},
            capture_output=True,
            text=True,
            timeout=seconds,
            check=False,
        )
        assert run.returncode == 0, (
            f"{' '.join(arguments)}:\n{run.stdout[-4000:]}{run.stderr[-8000:]}"
        )
        return run.stdout

    def containers(self) -> list[dict[str, str]]:
        lines = self.compose("ps", "--format", "json").splitlines()
        return [json.loads(line) for line in lines]

    def scale(self, **counts: int) -> None:
        """Have so many containers of each service, all well."""
        wanted = [word for name, count in counts.items() for word in ("--scale", f"{name}={count}")]
        self.compose("up", "-d", "--wait", "--no-build", "--no-recreate", *wanted)

    def kill(self, service: str) -> None:
        """The first container of a service ends this instant."""
        name = next(each["Name"] for each in self.containers() if each["Service"] == service)
        subprocess.run(["docker", "kill", name], check=True, capture_output=True)

    def inside(self, service: str, code: str) -> str:
        """What a line of Python prints inside a container."""
        return self.compose("exec", "-T", service, "python", "-c", code).strip()
