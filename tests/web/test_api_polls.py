"""A job that is asked for again and again is told as it is, however often."""

from typing import Any

from flask.testing import FlaskClient

from tests.web.answers import problem_of


def test_what_is_told_again_is_never_an_old_state(client: FlaskClient, job: dict[str, Any]) -> None:
    address = f"/api/v1/jobs/{job['id']}"
    first = client.get(address)
    again = client.get(address)
    assert (again.json, again.headers["ETag"]) == (first.json, first.headers["ETag"])
    known = {"If-None-Match": first.headers["ETag"]}
    assert client.get(address, headers=known).status_code == 304
    for move, state in (("pause", "paused"), ("resume", "queued"), ("cancel", "cancelled")):
        client.post(f"{address}/{move}")
        assert client.get(address).json["state"] == state
    assert client.get(address, headers=known).status_code == 200
    assert client.delete(address).status_code == 204
    problem_of(client.get(address), 404)
