"""What every container must be, as Docker itself tells it and as it is inside."""

import json
from typing import Any

from tests.compose.deployment import Deployment, docker

WEB_PORT = "8000/tcp"
# Where a container may listen: port by service; nothing else of ours listens at all.
LISTENS = {"web": {8000}, "redis": {6379}, "postgres": {5432}}
# Docker's own name server sits on this address inside every container.
NAME_SERVER = "0B00007F"
LISTENING = "0A"


def assert_hardened(deployment: Deployment) -> None:
    """Each container of a deployment: unprivileged, read-only, bounded, and closed."""
    for name, found in deployment.inspected().items():
        service = found["Config"]["Labels"]["com.docker.compose.service"]
        host, config = found["HostConfig"], found["Config"]
        told = f"{name}: {json.dumps(host)}"
        assert config["User"] not in {"", "0", "root", "0:0"}, told
        assert host["Privileged"] is False, told
        assert host["ReadonlyRootfs"] is True, told
        assert host["CapDrop"] == ["ALL"], told
        assert not host["CapAdd"], told
        assert host["SecurityOpt"] == ["no-new-privileges:true"], told
        assert host["Memory"] > 0, told
        assert host["Init"] is True, told
        assert host["RestartPolicy"]["Name"] == "unless-stopped", told
        assert host["LogConfig"]["Type"] == "json-file", told
        assert host["LogConfig"]["Config"] == {"max-file": "5", "max-size": "10m"}, told
        assert host["PidMode"] == host["UTSMode"] == "", told
        assert host["NetworkMode"] != "host", told
        assert not host["Devices"], told
        assert {mount["Type"] for mount in found["Mounts"]} <= {"volume"}, told
        _assert_closed(name, service, found)
        users = {line.split()[1] for line in docker("top", name, "-o", "pid,uid").splitlines()[1:]}
        assert users
        assert "0" not in users, told


def _assert_closed(name: str, service: str, found: dict[str, Any]) -> None:
    """It listens where it must and nowhere else, and only the web's port is published."""
    listening = set()
    for table in ("tcp", "tcp6"):
        for line in docker("exec", name, "cat", f"/proc/net/{table}").splitlines()[1:]:
            _, local, _, state, *_ = line.split()
            address, port = local.split(":")
            if state == LISTENING and address != NAME_SERVER:
                listening.add(int(port, 16))
    assert listening == LISTENS.get(service, set()), f"{name} listens on {listening}"
    published = {
        (inner, each["HostIp"])
        for inner, outer in (found["NetworkSettings"]["Ports"] or {}).items()
        for each in outer or []
    }
    wanted = {(WEB_PORT, "127.0.0.1")} if service == "web" else set()
    assert published == wanted, f"{name} publishes {published}"
