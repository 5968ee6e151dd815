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


@pytest.mark.parametrize("page", ["alerts.yml", "dashboard.json", "keda.yml", "../scaling.md"])
def test_what_is_watched_is_measured(client: FlaskClient, page: str) -> None:
    watched = set(re.findall(r"\blstmq_[a-z_]+", (DEPLOY / page).read_text()))
    assert watched
    assert watched <= exposed(client)


def test_the_dashboard_can_be_read() -> None:
    board = json.loads((DEPLOY / "dashboard.json").read_text())
    assert len({panel["id"] for panel in board["panels"]}) == len(board["panels"]) > 10


@pytest.mark.parametrize("path", ["docker-compose.yml", "docs/deploy/many-hosts.yml"])
def test_what_compose_sets_are_settings(path: str) -> None:
    given = set(re.findall(r"^\s+LSTMQ_([A-Z_]+):", (ROOT / path).read_text(), re.M))
    assert given
    assert given <= {name.upper() for name in Settings.model_fields}


def test_every_setting_of_env_reaches_the_containers() -> None:
    """What an operator writes into .env and compose does not pass on would do nothing, unsaid."""
    passed = set(
        re.findall(r"^\s+LSTMQ_([A-Z_]+):", (ROOT / "docker-compose.yml").read_text(), re.M)
    )
    of_up = {"TRAIN_WORKERS", "PREDICT_WORKERS"}  # `--scale` does that here
    assert passed == {name.upper() for name in Settings.model_fields} - of_up


def test_what_every_host_must_agree_on_reaches_the_workers_of_other_hosts() -> None:
    text = (DEPLOY / "many-hosts.yml").read_text()
    passed = set(re.findall(r"^\s+(LSTMQ_[A-Z_]+|AWS_[A-Z_]+):", text, re.M))
    main = (ROOT / "docker-compose.yml").read_text()
    assert set(re.findall(r"^\s+(AWS_[A-Z_]+):", main, re.M)) <= passed
    for setting in ("REDIS_URL", "DATABASE_URL", "STORE_URL", "SLICE_SECONDS", "LEASE_SECONDS"):
        assert f"LSTMQ_{setting}" in passed
