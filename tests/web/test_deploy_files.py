"""The files for operators name what exists: metrics, services, settings."""

import json
import re
from pathlib import Path

import pytest
from flask.testing import FlaskClient

from worker.settings import Settings

ROOT = Path(__file__).parents[2]
DEPLOY = ROOT / "docs" / "deploy"
SUFFIXES = {"counter": ("_total",), "gauge": ("",), "histogram": ("_bucket", "_sum", "_count")}


def exposed(client: FlaskClient) -> set[str]:
    """Every name that `/metrics` can show, also of what was not counted yet."""
    names = set()
    for name, kind in re.findall(r"^# TYPE (\S+) (\S+)$", client.get("/metrics").text, re.M):
        stem = name.removesuffix("_total")
        names |= {stem + suffix for suffix in SUFFIXES[kind]}
    return names


@pytest.mark.parametrize("name", ["alerts.yml", "dashboard.json"])
def test_what_is_watched_is_measured(client: FlaskClient, name: str) -> None:
    text = (DEPLOY / name).read_text()
    watched = set(re.findall(r"\blstmq_[a-z_]+", text))
    assert len(watched) > 5
    assert watched <= exposed(client)


def test_the_dashboard_can_be_read() -> None:
    board = json.loads((DEPLOY / "dashboard.json").read_text())
    assert len({panel["id"] for panel in board["panels"]}) == len(board["panels"]) > 10


@pytest.mark.parametrize("path", ["docker-compose.yml", "docs/deploy/many-hosts.yml"])
def test_what_compose_sets_are_settings(path: str) -> None:
    given = set(re.findall(r"^\s+LSTMQ_([A-Z_]+):", (ROOT / path).read_text(), re.M))
    assert given
    assert given <= {name.upper() for name in Settings.model_fields}
