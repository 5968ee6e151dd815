"""A small client of the HTTP API, for the command line and the demo."""

import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any
from urllib.parse import quote

import httpx

Json = dict[str, Any]

WAIT_SECONDS = 20  # one long poll
POLL_SECONDS = 0.3
TIMEOUT = httpx.Timeout(10.0, read=90.0)
FINAL = frozenset({"succeeded", "failed", "cancelled"})


class ApiError(Exception):
    """The server refused, or none answered; the message says what to do."""


class Client:
    """Asks one server. Every method raises ApiError."""

    def __init__(self, url: str, key: str = "") -> None:
        self.url = url.rstrip("/")
        headers = {"Authorization": f"Bearer {key}"} if key else {}
        # Our own server on this machine is never behind the system's proxy.
        self._http = httpx.Client(base_url=self.url, headers=headers, timeout=TIMEOUT)

    def close(self) -> None:
        self._http.close()

    def __enter__(self) -> "Client":
        return self

    def __exit__(self, *_: object) -> None:
        self.close()

    def upload(self, path: Path, name: str | None = None) -> Json:
        """Store a file's text as a dataset."""
        fields = {"name": name} if name else {}
        with path.open("rb") as file:
            return self._ask("POST", "/datasets", data=fields, files={"file": (path.name, file)})

    def create_text(self, name: str, text: str) -> Json:
        """Store a text as a dataset."""
        return self._ask("POST", "/datasets", json={"name": name, "text": text})

    def events(self, identifier: str) -> list[Json]:
        """The newest events of a job's story, oldest first."""
        address = f"/jobs/{quote(identifier, safe='')}/events"
        found: list[Json] = self._ask("GET", address, params={"limit": "100"})["data"]
        return found

    def train(self, dataset: str, *, name: str | None = None, config: Json | None = None) -> Json:
        """Submit a training of a stored dataset."""
        body = {"kind": "train", "dataset": dataset, "config": config or {}}
        return self._ask("POST", "/jobs", json=body | ({"name": name} if name else {}))

    def job(self, identifier: str) -> Json:
        return self._ask("GET", f"/jobs/{quote(identifier, safe='')}")

    def follow(self, identifier: str) -> Iterator[Json]:
        """A job as it goes on, until it is final."""
        while True:
            job = self.job(identifier)
            yield job
            if job["state"] in FINAL:
                return
            time.sleep(POLL_SECONDS)

    def finished(self, identifier: str, on_change: Callable[[Json], None] = lambda _: None) -> Json:
        """Wait for a job's end."""
        job: Json = {}
        for job in self.follow(identifier):
            on_change(job)
        return job

    def predict(self, model: str, prompts: list[str], sampling: Json) -> list[Json]:
        """One result for each prompt."""
        body = {"prompts": prompts, "sampling": sampling}
        results: list[Json] = self._ask(
            "POST", f"/models/{quote(model, safe='')}/predict", json=body
        )["results"]
        return results

    def newest(self, resource: str, limit: int = 20, **wanted: str) -> list[Json]:
        """The newest jobs, models, keys … that fit."""
        listed: list[Json] = self._ask(
            "GET", f"/{resource}", params={"limit": str(limit), **wanted}
        )["data"]
        return listed

    def create_key(self, body: Json) -> Json:
        """Make a key; the secret is in `key`."""
        return self._ask("POST", "/keys", json=body)

    def revoke_key(self, identifier: str) -> Json:
        """End a key."""
        return self._ask("DELETE", f"/keys/{quote(identifier, safe='')}")

    def status(self) -> Json:
        """Parts, queues, workers, versions."""
        return self._ask("GET", "/status")

    def readiness(self) -> str:
        """Empty when the whole service is ready, else what is missing."""
        response = self._send("GET", "/readyz")
        return "" if response.is_success else _reason(response)

    def _ask(self, method: str, path: str, **request: Any) -> Json:
        response = self._send(method, f"/api/v1{path}", **request)
        if not response.is_success:
            raise ApiError(_reason(response))
        answer: Json = response.json()
        return answer

    def _send(self, method: str, path: str, **request: Any) -> httpx.Response:
        try:
            return self._http.request(method, path, **request)
        except httpx.TransportError as error:
            raise ApiError(
                f"No lstmq answers at {self.url} ({error}). Start one with `lstmq up`, or name "
                "another with --url or LSTMQ_URL."
            ) from error


def _reason(response: httpx.Response) -> str:
    """What a problem answer says, its field errors included."""
    try:
        problem = response.json()
    except ValueError:
        return f"{response.request.url} answered {response.status_code}."
    lines = [str(problem.get("detail") or problem.get("title") or response.reason_phrase)]
    for error in problem.get("errors", []):
        place = ".".join(str(step) for step in error.get("loc", []))
        lines.append(f"  {place}: {error.get('msg', '')}")
    if response.status_code == httpx.codes.UNAUTHORIZED:
        lines.append("Set LSTMQ_API_KEY to your key.")
    return "\n".join(lines)
