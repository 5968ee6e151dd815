"""Whether the service is alive and whether it can do its work; open to everybody."""

from flask import Blueprint, Response

from web.api.serialize import respond_json
from web.auth import current_backend
from web.errors import Problem, render_problem
from web.operation import Answer, about, describes
from worker.health import other_versions, readiness

health = Blueprint("health", __name__)

RETRY_SECONDS = 5


class AliveAnswer(Answer):
    """A sign of life."""

    status: str = about("That it lives.", "alive")


class ReadyAnswer(Answer):
    """Every part answers."""

    status: str = about("That it can work.", "ready")
    checks: dict[str, str | None] = about("Each part; null: it answers.", {"redis": None})
    other_versions: list[str] = about(
        "Workers of another version than this web server's: right for the minutes of an upgrade.",
        [],
    )


@health.get("/healthz")
@describes(answers={200: AliveAnswer})
def alive() -> Response:
    """200 as long as this process answers at all."""
    return respond_json({"status": "alive"})


@health.get("/readyz")
@describes(answers={200: ReadyAnswer}, refuses=(503,))
def ready() -> Response:
    """200 when every part answers, else 503 with what is missing."""
    checks, others = readiness(current_backend()), other_versions(current_backend())
    missing = {part: reason for part, reason in checks.items() if reason is not None}
    if not missing:
        return respond_json({"status": "ready", "checks": checks, "other_versions": others})
    return render_problem(
        Problem(
            status=503,
            title="Not ready",
            detail="; ".join(f"{part}: {reason}" for part, reason in missing.items()),
            type="urn:problem-type:lstmq:not-ready",
            extra={"checks": checks, "other_versions": others},
            headers={"Retry-After": str(RETRY_SECONDS)},
        )
    )
