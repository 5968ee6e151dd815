"""A small client of the HTTP API, for the command line and the demo."""

import contextlib
import time
from collections.abc import Callable, Iterator, Mapping
from http import HTTPStatus
from pathlib import Path
from typing import IO, Any
from urllib.parse import quote, urlsplit
from uuid import uuid4

import httpx

Json = dict[str, Any]

POLL_SECONDS = 0.3
TIMEOUT = httpx.Timeout(10.0, read=90.0)
FINAL = frozenset({"succeeded", "failed", "cancelled"})
LARGEST_PAGE = 100
PASSING = frozenset(
    {
        None,  # nobody answered
        HTTPStatus.TOO_MANY_REQUESTS,
        HTTPStatus.BAD_GATEWAY,
        HTTPStatus.SERVICE_UNAVAILABLE,
        HTTPStatus.GATEWAY_TIMEOUT,
    }
)
LOOPBACK = ("127.0.0.1", "localhost", "::1")


class ApiError(Exception):
    """The server refused, or none answered; the message says what to do.

    `status`: of the answer, None when there was none.
    """

    def __init__(self, message: str, status: int | None, retry_after: float | None = None) -> None:
        super().__init__(message)
        self.status = status
        self.retry_after = retry_after  # seconds

    @property
    def passing(self) -> bool:
        """Whether the same request may well be answered in a while."""
        return self.status in PASSING


class Client:
    """Asks one server. Every method raises ApiError."""

    def __init__(self, url: str, key: str = "") -> None:
        self.url = url.rstrip("/")
        headers = {"Authorization": f"Bearer {key}"} if key else {}
        # A server on this machine is never behind the system's proxy.
        away = urlsplit(self.url).hostname not in LOOPBACK
        self._http = httpx.Client(
            base_url=self.url, headers=headers, timeout=TIMEOUT, trust_env=away
        )

    def close(self) -> None:
        self._http.close()

    def __enter__(self) -> "Client":
        return self

    def __exit__(self, *_: object) -> None:
        self.close()

    # ---- any route ------------------------------------------------------------------------------

    def ask(self, method: str, path: str, **request: Any) -> Json:
        """The JSON answer of a route below /api/v1; empty where it has no content."""
        with self._answered():
            response = self._http.request(method, f"/api/v1{path}", **request)
        _refuse(response)
        try:
            answer = response.json() if response.content else {}
        except ValueError:
            answer = None
        if not isinstance(answer, dict):
            raise ApiError(_stranger(response), response.status_code)
        return answer

    @contextlib.contextmanager
    def stream(self, method: str, path: str, **request: Any) -> Iterator[httpx.Response]:
        """The answer of a route while it arrives; what breaks off is an ApiError as well."""
        with (
            self._answered(),
            self._http.stream(method, f"/api/v1{path}", **request) as response,
        ):
            if not response.is_success:
                response.read()
                _refuse(response)
            yield response

    def page(self, resource: str, limit: int = 20, **wanted: Any) -> Json:
        """As many of the newest records that fit as are wanted, however many pages that takes."""
        asked = {name: value for name, value in wanted.items() if value is not None}
        found: list[Json] = []
        while True:
            size = min(limit - len(found), LARGEST_PAGE)
            page = self.ask("GET", f"/{resource}", params={**asked, "limit": size})
            found += page["data"]
            if not page["has_more"] or len(found) >= limit:
                return {**page, "data": found}
            asked["after"] = page["next"]

    def send_file(
        self, resource: str, file: IO[bytes], filename: str, fields: Mapping[str, str]
    ) -> Json:
        """Send a file to be stored, read piece by piece; empty fields are left out."""
        given = {name: value for name, value in fields.items() if value}
        return self.ask("POST", f"/{resource}", data=given, files={"file": (filename, file)})

    # ---- some of them ---------------------------------------------------------------------------

    def upload(self, path: Path, name: str = "") -> Json:
        """Store a file's text as a dataset."""
        with path.open("rb") as file:
            return self.send_file("datasets", file, path.name, {"name": name})

    def create_text(self, name: str, text: str) -> Json:
        """Store a text as a dataset."""
        return self.ask("POST", "/datasets", json={"name": name, "text": text})

    def submit(self, kind: str, **body: Any) -> Json:
        """Accept a job; what is None is left out."""
        given = {name: value for name, value in body.items() if value is not None}
        return self.create("/jobs", {"kind": kind, **given})

    def create(self, path: str, body: Json) -> Json:
        """Ask for something to be made, once: again with the same key when the answer is lost."""
        headers = {"Idempotency-Key": uuid4().hex}
        try:
            return self.ask("POST", path, json=body, headers=headers)
        except ApiError as error:
            if not isinstance(error.__cause__, httpx.ReadError | httpx.RemoteProtocolError):
                raise
        return self.ask("POST", path, json=body, headers=headers)

    def train(self, dataset: str, *, name: str | None = None, config: Json | None = None) -> Json:
        """Submit a training of a stored dataset."""
        return self.submit("train", dataset=dataset, name=name, config=config or {})

    def job(self, identifier: str) -> Json:
        return self.ask("GET", f"/jobs/{segment(identifier)}")

    def events(self, identifier: str) -> list[Json]:
        """The first events of a job's story, oldest first."""
        address = f"/jobs/{segment(identifier)}/events"
        found: list[Json] = self.ask("GET", address, params={"limit": LARGEST_PAGE})["data"]
        return found

    def finished(self, identifier: str, on_change: Callable[[Json], None] = lambda _: None) -> Json:
        """Wait for a job's end."""
        while True:
            job = self.job(identifier)
            on_change(job)
            if job["state"] in FINAL:
                return job
            time.sleep(POLL_SECONDS)

    def predict(self, model: str, prompts: list[str], sampling: Json) -> list[Json]:
        """One result for each prompt."""
        body = {"prompts": prompts, "sampling": sampling}
        results: list[Json] = self.ask("POST", f"{model_path(model)}/predict", json=body)["results"]
        return results

    def newest(self, resource: str, limit: int = 20, **wanted: str) -> list[Json]:
        """The newest jobs, models, keys … that fit."""
        found: list[Json] = self.page(resource, limit, **wanted)["data"]
        return found

    def create_key(self, body: Json) -> Json:
        """Make a key; the secret is in `key`."""
        return self.ask("POST", "/keys", json=body)

    def revoke_key(self, identifier: str) -> Json:
        """End a key."""
        return self.ask("DELETE", f"/keys/{segment(identifier)}")

    def status(self) -> Json:
        """Parts, queues, workers, versions."""
        return self.ask("GET", "/status")

    def readiness(self) -> str:
        """Empty when the whole service is ready, else what is missing."""
        with self._answered():
            response = self._http.get("/readyz")
        return "" if response.is_success else _reason(response)

    @contextlib.contextmanager
    def _answered(self) -> Iterator[None]:
        try:
            yield
        except httpx.ReadTimeout as error:
            raise ApiError(f"{self.url} took too long to answer.", None) from error
        except httpx.TransportError as error:
            raise ApiError(
                f"No lstmq answers at {self.url} ({error}). Start one with `lstmq up`, or name "
                "another with --url or LSTMQ_URL.",
                None,
            ) from error
        except (UnicodeEncodeError, httpx.InvalidURL) as error:
            message = f"This cannot be sent, it is not valid text: {error}."
            raise ApiError(message, HTTPStatus.BAD_REQUEST) from error


def segment(identifier: str) -> str:
    """An id as one step of a path."""
    return quote(identifier, safe="", errors="replace") or "-"


def model_path(reference: str) -> str:
    """Where a model is, by its id or its name."""
    return f"/models/{segment(reference)}"


def _refuse(response: httpx.Response) -> None:
    if not response.is_success:
        wait = response.headers.get("Retry-After", "")
        raise ApiError(
            _reason(response), response.status_code, float(wait) if wait.isdecimal() else None
        )


def _reason(response: httpx.Response) -> str:
    """What a problem answer says, its field errors included."""
    try:
        problem = response.json()
    except ValueError:
        problem = None
    if not isinstance(problem, dict):
        return _stranger(response)
    lines = [str(problem.get("detail") or problem.get("title") or response.reason_phrase)]
    for error in problem.get("errors", []):
        place = ".".join(str(step) for step in error.get("loc", []))
        lines.append(f"  {place}: {error.get('msg', '')}")
    if response.status_code == HTTPStatus.UNAUTHORIZED:
        lines.append("Set LSTMQ_API_KEY to your key.")
    return "\n".join(lines)


def _stranger(response: httpx.Response) -> str:
    return f"{response.request.url} answered {response.status_code}, but not as lstmq does."
