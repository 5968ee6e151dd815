"""A request can be followed by its id from the web server's line to the lines of its job."""

import logging

import pytest
from flask.testing import FlaskClient

from tests.web.answers import TUTORIAL
from worker import leases, logs
from worker.backend import Backend


def test_a_request_names_its_job_and_the_job_its_request(
    client: FlaskClient, backend: Backend, caplog: pytest.LogCaptureFixture
) -> None:
    caplog.set_level(logging.INFO, "web.request_id")
    answer = client.post(
        "/api/v1/jobs?secret=1",
        json={"kind": "train", "text": TUTORIAL, "config": {"preset": "tutorial"}},
        headers={"X-Request-Id": "from-a-proxy"},
    )
    assert answer.status_code == 202
    assert (logs.named("request"), logs.named("job")) == ("from-a-proxy", answer.json["id"])
    [line] = [record for record in caplog.records if record.name == "web.request_id"]
    assert line.getMessage() == "POST /api/v1/jobs 202"
    assert vars(line)["seconds"] > 0
    claim = leases.claim(backend, "train", "w")
    assert claim is not None
    assert claim.request_id == "from-a-proxy"
    client.get("/healthz")
    assert logs.named("job") is None
