"""Numbers, times and jobs in a few words."""

from web.client import Json

MINUTE, HOUR = 60, 3600


def number(value: float | None, digits: int = 3) -> str:
    """A loss or the like; empty as long as it is unknown."""
    return "" if value is None else f"{value:.{digits}f}"


def share(fraction: float | None) -> str:
    """A part of the whole in per cent."""
    return "" if fraction is None else f"{fraction:.0%}"


def duration(seconds: float) -> str:
    """Seconds as people say them."""
    if seconds < MINUTE:
        return f"{seconds:.0f} s"
    if seconds < HOUR:
        return f"{seconds // MINUTE:.0f} min {seconds % MINUTE:.0f} s"
    return f"{seconds // HOUR:.0f} h {seconds % HOUR // MINUTE:.0f} min"


def facts_of(job: Json) -> str:
    """A job's state, loss and remaining time."""
    words = [job["state"]]
    if (loss := job["metrics"].get("train_loss")) is not None:
        words.append(f"loss {loss:.3f}")
    if (left := job["progress"].get("eta_seconds")) and job["state"] == "running":
        words.append(f"{duration(left)} left")
    if job["state"] == "queued" and job.get("queue_position"):
        words.append(f"number {job['queue_position']} in the queue")
    return ", ".join(words)


def join(prompt: str, completion: str) -> str:
    """A completion as it stands after its prompt: word models leave the space between out."""
    needs_space = prompt and completion and not prompt[-1].isspace() and not completion[0].isspace()
    return f" {completion}" if needs_space else completion
