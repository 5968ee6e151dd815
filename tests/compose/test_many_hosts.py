"""Workers on other hosts: the web server's compose file here, docs/deploy/many-hosts.yml there.

The other host is another compose project, which shares Redis, Postgres and a store that speaks S3
with the first and nothing else.
"""

import json
import os
import subprocess
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.compose.deployment import ROOT, Deployment, docker
from tests.compose.test_scaling import CONFIG, hosts, submit
from tests.worker.servers import s3
from web.client import Client

pytestmark = pytest.mark.timeout(600)

WORKERS = 2
OUTSIDE = """
networks:
  default: {{external: true, name: {network}}}
"""


@pytest.fixture
def store() -> Iterator[dict[str, str]]:
    """Settings of a store that containers reach at this machine's own address."""
    bridge = json.loads(docker("network", "inspect", "bridge"))
    with s3("bucket", bridge[0]["IPAM"]["Config"][0]["Gateway"]) as endpoint:
        yield {
            "LSTMQ_STORE_URL": "s3://bucket/lstmq",
            "AWS_ACCESS_KEY_ID": "key",
            "AWS_SECRET_ACCESS_KEY": "secret",
            "AWS_REGION": "us-east-1",
            "AWS_ENDPOINT": endpoint,
            "AWS_ALLOW_HTTP": "true",
        }


def test_workers_of_another_host_train(
    deployment: Deployment, tag: str, tmp_path: Path, store: dict[str, str]
) -> None:
    ours = Deployment(tmp_path, tag, **store)
    ours.on_postgres()
    files = ("docker-compose.yml", "docs/deploy/external.yml")
    ours.settings["COMPOSE_FILE"] = os.pathsep.join(str(ROOT / file) for file in files)
    theirs = OtherHost(ours, tmp_path)
    try:
        ours.scale(worker=0)
        for container in ours.containers():
            if container["Service"] in {"redis", "postgres"}:
                alias = ("--alias", container["Service"])
                docker("network", "connect", *alias, theirs.network, container["Name"])
        theirs.compose("up", "-d", "--wait", "--no-build", "--scale", f"worker={WORKERS}")
        with Client(ours.url, ours.key) as client:
            jobs = submit(client, 4, CONFIG)
            ended = [client.finished(job) for job in jobs]
            assert [job["state"] for job in ended] == ["succeeded"] * len(jobs)
            assert len(hosts(client, jobs)) == WORKERS
            assert client.predict(ended[0]["result"]["model"], ["the cat"], {"max_tokens": 3})
        assert ours.inside("web", "import os; print(os.path.exists('/data/store'))") == "False"
    finally:
        theirs.compose("down", "-v")
        ours.down()


class OtherHost:
    """What runs where only docs/deploy/many-hosts.yml is."""

    def __init__(self, ours: Deployment, folder: Path) -> None:
        self.network, self._project = f"{ours.project}_edge", f"{ours.project}-other"
        self._outside = folder / "outside.yml"
        self._outside.write_text(OUTSIDE.format(network=self.network))
        password = ours.secret("REDIS_PASSWORD=")
        self._settings = {
            **{name: value for name, value in ours.settings.items() if name != "COMPOSE_FILE"},
            "COMPOSE_PROFILES": "",
            "LSTMQ_REDIS_URL": f"redis://:{password}@redis:6379/0",
        }

    def compose(self, *arguments: str) -> None:
        files = ("-f", str(ROOT / "docs" / "deploy" / "many-hosts.yml"), "-f", str(self._outside))
        done = subprocess.run(
            ["docker", "compose", "-p", self._project, *files, *arguments],
            env=os.environ | self._settings,
            capture_output=True,
            text=True,
            timeout=180,
            check=False,
        )
        assert done.returncode == 0, done.stderr[-4000:]
