"""`/sweeps`: a search for good settings over HTTP."""

from flask.testing import FlaskClient

from tests.web.answers import TUTORIAL, problem_of, refused_fields

BODY = {
    "text": TUTORIAL,
    "name": "rates",
    "config": {"preset": "tutorial"},
    "space": {"training.learning_rate": [0.01, 0.02, 0.03]},
}


def test_a_sweep_is_accepted_seen_listed_cancelled_and_removed(client: FlaskClient) -> None:
    answer = client.post("/api/v1/sweeps", json=BODY)
    assert answer.status_code == 202
    sweep = answer.json
    assert answer.headers["Location"] == sweep["links"]["self"]
    assert client.get(answer.headers["Location"]).json == sweep
    assert (sweep["object"], sweep["state"], sweep["method"]) == ("sweep", "running", "grid")
    assert [trial["settings"] for trial in sweep["trials"]] == [
        {"training.learning_rate": rate} for rate in (0.01, 0.02, 0.03)
    ]
    for trial in sweep["trials"]:
        assert trial["state"] == "queued"
        job = client.get(f"/api/v1/jobs/{trial['job']}").json
        assert (
            job["config"]["training"]["learning_rate"]
            == trial["settings"]["training.learning_rate"]
        )
    [listed] = client.get("/api/v1/sweeps?name=rat").json["data"]
    assert listed["id"] == sweep["id"]
    assert problem_of(client.delete(sweep["links"]["self"]), 409)
    cancelled = client.post(sweep["links"]["cancel"]).json
    assert cancelled["state"] == "cancelled"
    assert {trial["state"] for trial in cancelled["trials"]} == {"cancelled"}
    assert client.delete(sweep["links"]["self"]).status_code == 204
    problem_of(client.get(sweep["links"]["self"]), 404)


def test_what_is_wrong_is_named_by_its_place_and_nothing_is_kept(client: FlaskClient) -> None:
    def refused(**changes: object) -> list[list[str | int]]:
        return refused_fields(client.post("/api/v1/sweeps", json=BODY | changes))

    assert refused(text=None) == [["dataset"]]
    assert refused(space={"model.layers": [0]}) == [["space", "model.layers"]]
    assert refused(space={"model": [0]})[0][:2] == ["space", "model"]
    assert refused(space={}) == [["space"]]
    assert refused(method="guess") == [["method"]]
    assert refused(method="random") == [["trials"]]
    assert refused(halving_factor=1) == [["halving_factor"]]
    assert refused(config={"preset": "poem"}) == [["config", "preset"]]
    for path in ("sweeps", "jobs", "datasets"):
        assert client.get(f"/api/v1/{path}").json["data"] == []
