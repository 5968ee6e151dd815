"""One compose project with secrets and images of its own."""

import json
import os
import re
import socket
import subprocess
import sys
from pathlib import Path
from typing import Any

ROOT = Path(__file__).parents[2]
BUILD_SECONDS, UP_SECONDS, DOWN_SECONDS = 1800, 180, 120
POSTGRES, PROMETHEUS = "postgres:17-alpine", "prom/prometheus:v3.7.3"
STAND_INS = {POSTGRES: "postgres.Dockerfile", PROMETHEUS: "prometheus.Dockerfile"}


class Deployment:
    """One compose project with secrets and images of its own."""

    def __init__(self, folder: Path, tag: str, **settings: str) -> None:
        self.root = ROOT  # whose compose file is used
        self.settings = {"LSTMQ_TAG": tag, **settings}
        self.secrets = folder / "env"
        made = [sys.executable, "-I", str(ROOT / "web" / "env_file.py"), str(self.secrets)]
        subprocess.run(made, check=True, capture_output=True)
        with socket.socket() as free:
            free.bind(("127.0.0.1", 0))
            self.port = free.getsockname()[1]
        self.key, self.url = self.secret("LSTMQ_API_KEYS=admin:"), f"http://127.0.0.1:{self.port}"
        self.project = f"lstmq-test-{os.getpid()}-{self.port}"

    def secret(self, before: str) -> str:
        """What stands after these words in the file of secrets."""
        found = re.search(f"^{before}(.+)$", self.secrets.read_text(), re.MULTILINE)
        assert found
        return found[1]

    def on_postgres(self) -> None:
        """Keep the records there."""
        need(POSTGRES)
        url = f"postgresql://lstmq:{self.secret('POSTGRES_PASSWORD=')}@postgres/lstmq"
        self.settings |= {"LSTMQ_DATABASE_URL": url, "COMPOSE_PROFILES": "postgres"}

    def compose(self, *arguments: str, seconds: int = UP_SECONDS, fails: bool = False) -> str:
        """Run docker compose; its output, or a failure that shows it."""
        command = ["docker", "compose", "-p", self.project, "--env-file", str(self.secrets)]
        run = subprocess.run(
            [*command, *arguments],
            cwd=self.root,
            env={**os.environ, "LSTMQ_PORT": str(self.port), **self.settings},
            capture_output=True,
            text=True,
            timeout=seconds,
            check=False,
        )
        assert (run.returncode != 0) is fails, (
            f"{' '.join(arguments)}:\n{run.stdout[-4000:]}{run.stderr[-8000:]}"
        )
        return run.stdout + (run.stderr if fails else "")

    def down(self) -> None:
        """Everything is gone, its volumes too."""
        self.compose("down", "-v", seconds=DOWN_SECONDS)

    def containers(self) -> list[dict[str, Any]]:
        """As `docker compose ps` tells them."""
        lines = self.compose("ps", "--format", "json").splitlines()
        return [json.loads(line) for line in lines]

    def inspected(self) -> dict[str, dict[str, Any]]:
        """As `docker inspect` tells them, by their names."""
        names = [container["Name"] for container in self.containers()]
        found = json.loads(docker("inspect", *names))
        return {each["Name"].lstrip("/"): each for each in found}

    def scale(self, **counts: int) -> None:
        """Have so many containers of each service, all well."""
        wanted = [word for name, count in counts.items() for word in ("--scale", f"{name}={count}")]
        self.compose("up", "-d", "--wait", "--no-build", "--no-recreate", *wanted)

    def kill(self, service: str) -> None:
        """The first container of a service ends this instant."""
        docker("kill", next(c["Name"] for c in self.containers() if c["Service"] == service))

    def inside(self, service: str, code: str) -> str:
        """What a line of Python prints inside a container."""
        return self.compose("exec", "-T", service, "python", "-c", code).strip()


def docker(*arguments: str, seconds: int = UP_SECONDS) -> str:
    """What docker prints."""
    run = subprocess.run(
        ["docker", *arguments], capture_output=True, text=True, timeout=seconds, check=False
    )
    assert run.returncode == 0, f"docker {' '.join(arguments)}:\n{run.stderr[-4000:]}"
    return run.stdout


def has_image(name: str) -> bool:
    """Whether it is on this machine."""
    found = subprocess.run(["docker", "image", "inspect", name], capture_output=True, check=False)
    return found.returncode == 0


def need(image: str) -> None:
    """Have a public image, or a stand-in for it where no registry can be reached."""
    if has_image(image):
        return
    pull = ["docker", "pull", "-q", image]
    if subprocess.run(pull, capture_output=True, check=False).returncode:
        stand_in = Path(__file__).parent / STAND_INS[image]
        build = ("build", "-q", "-t", image, "-f", str(stand_in), str(stand_in.parent))
        docker(*build, seconds=BUILD_SECONDS)
