"""Numbers, times and states in words for people; `static/js/format.js` follows the same rules."""

import math
import time
from collections.abc import Callable
from datetime import UTC, datetime
from typing import Any, Literal

from flask import Blueprint

from worker.records import Job, JobState

MINUTE, HOUR, DAY = 60, 3600, 86_400
NOTHING = "\u2013"  # an en dash

STATE_WORDS = {
    JobState.QUEUED: "Waiting",
    JobState.RUNNING: "Learning",
    JobState.PAUSED: "Paused",
    JobState.SUCCEEDED: "Done",
    JobState.FAILED: "Failed",
    JobState.CANCELLED: "Cancelled",
}
PRESET_WORDS = {
    "word": "Words",
    "char": "Letters",
    "subword": "Word parts",
    "tutorial": "The lesson",
}
KIND_WORDS = {"predict": "Prediction", "evaluate": "Evaluation"}
STOPPED_WORDS = {
    "finished": "It read the text as often as planned.",
    "early": "It stopped early: the loss on held-out text no longer fell.",
    "time limit": "It stopped at the time limit.",
}

Action = Literal["pause", "resume", "cancel", "delete"]


def state_word(job: Job) -> str:
    """One or two words for a badge."""
    if job.pending == "cancel":
        return "Stopping…"
    if job.pending == "pause":
        return "Pausing…"
    if job.kind == "predict" and job.state is JobState.RUNNING:
        return "Writing"
    return STATE_WORDS[job.state]


def state_sentence(job: Job) -> str:
    """What is going on with a job, in a sentence."""
    result = job.result or {}
    match job.state:
        case JobState.QUEUED:
            sentence = _queued_sentence(job.queue_position)
        case JobState.RUNNING:
            sentence = _running_sentence(job)
        case JobState.PAUSED:
            sentence = "What it has learned is kept: resume it whenever you like."
        case JobState.SUCCEEDED:
            why = STOPPED_WORDS.get(str(result.get("stopped")), "")
            sentence = f"It took {duration(_seconds_worked(job))}. {why}".strip()
        case JobState.FAILED:
            kept = " The best it had learned until then is kept." if result.get("model") else ""
            sentence = f"It could not be finished.{kept}"
        case JobState.CANCELLED:
            sentence = _cancelled_sentence(job)
    return sentence


def _queued_sentence(place: int | None) -> str:
    if place is None:
        return "It waits for a worker."
    return "It is next in line." if place == 1 else f"It is number {place} in line."


def _running_sentence(job: Job) -> str:
    if job.kind == "evaluate":
        return "The model is reading."
    if job.kind == "predict":
        return "The model is writing."
    progress = job.progress
    if not progress.total_steps:
        return "It has started to learn."
    steps = f"Step {progress.step:,} of {progress.total_steps:,}"
    left = progress.eta_seconds
    return f"{steps}, about {duration(left)} left." if left is not None else f"{steps}."


def _cancelled_sentence(job: Job) -> str:
    if job.kind != "train":
        return "It was stopped before its end."
    kept = (job.result or {}).get("model")
    return "The model as it was then is kept." if kept else "It left no model."


def _seconds_worked(job: Job) -> float | None:
    if job.finished_at is None or job.started_at is None:
        return None
    return max(0.0, job.finished_at - job.started_at)


def allowed_actions(job: Job) -> list[Action]:
    """The moves that a person may ask for now, in the order of their buttons."""
    if job.state.final:
        return ["delete"]
    if job.pending == "cancel":
        return []
    if job.state is JobState.PAUSED:
        return ["resume", "cancel"]
    if job.pending == "pause" or job.kind != "train":
        return ["cancel"]
    return ["pause", "cancel"]


def list_note(job: Job) -> str:
    """What a list says of a job beside its bar."""
    if job.queue_position:
        place = job.queue_position
        return "next in line" if place == 1 else f"number {place:,} in line"
    if job.state is JobState.RUNNING and job.progress.eta_seconds is not None:
        return f"about {duration(job.progress.eta_seconds)} left"
    if job.kind == "evaluate" and job.result:
        return f"perplexity {perplexity(job.result.get('loss'))}"
    held, trained = job.metrics.get("validation_loss"), job.metrics.get("train_loss")
    if held is not None:
        return f"perplexity {perplexity(held)}"
    return f"loss {loss(trained)}" if trained is not None else ""


def kind_words(job: Job) -> str:
    """What a job is, in a word or two."""
    if job.kind == "train":
        return PRESET_WORDS.get(job.config.get("preset", ""), "Training")
    return KIND_WORDS.get(str(job.kind), str(job.kind).capitalize())


def integer(value: float | None) -> str:
    """1234.6 → "1,235"."""
    return f"{value:,.0f}" if isinstance(value, int | float) else NOTHING


def of_total(total: float | None) -> str:
    """What stands below a count that has an end."""
    return "" if not total else f"of {total:,.0f}"


def loss(nats: float | None) -> str:
    """Nats a token, three decimals."""
    return NOTHING if nats is None or not math.isfinite(nats) else f"{nats:.3f}"


def perplexity(nats: float | None) -> str:
    """The perplexity of a loss in nats a token."""
    if nats is None or not math.isfinite(nats):
        return NOTHING
    value = math.exp(min(nats, 700.0))
    if value >= 1000:  # noqa: PLR2004 - from here on decimals say nothing
        return f"{value:,.0f}" if nats < 50 else f"{value:.1e}"  # noqa: PLR2004
    return f"{value:.2f}" if value < 100 else f"{value:.1f}"  # noqa: PLR2004


def duration(seconds: float | None) -> str:
    """A length of time, as coarse as people say it."""
    if not isinstance(seconds, int | float) or not math.isfinite(seconds):
        return NOTHING
    if seconds < 1:
        return "under 1 s"
    if seconds < MINUTE:
        return f"{seconds:.0f} s"
    minutes = round(seconds / MINUTE)
    if minutes < MINUTE:
        return f"{minutes} min"
    hours = minutes // MINUTE
    if hours < 48:  # noqa: PLR2004 - two days
        return f"{hours} h {minutes % MINUTE} min"
    return f"{round(seconds / DAY)} days"


def ago(moment: float | None) -> str:
    """How long ago a moment (seconds since the epoch) was."""
    if moment is None:
        return NOTHING
    seconds = time.time() - moment
    if seconds < 10:  # noqa: PLR2004
        return "just now"
    if seconds < MINUTE:
        return "under a minute ago"
    for unit, length in (("day", DAY), ("hour", HOUR), ("minute", MINUTE)):
        count = int(seconds // length)
        if count:
            return f"{count} {unit}{'s' if count > 1 else ''} ago"
    return "just now"


def iso(moment: float) -> str:
    """ISO 8601, UTC: the machine-readable side of a <time>."""
    return datetime.fromtimestamp(moment, UTC).strftime("%Y-%m-%dT%H:%M:%SZ")


def calendar(moment: float) -> str:
    """1764000000.0 → "24 Nov 2025, 16:00 UTC"."""
    at = datetime.fromtimestamp(moment, UTC)
    return f"{at.day} {at:%b %Y, %H:%M} UTC"


def size(count: float | None) -> str:
    """A number of bytes."""
    if count is None or not isinstance(count, int | float):
        return NOTHING
    if count < 1024:  # noqa: PLR2004
        return f"{count:.0f} bytes"
    for unit in ("KiB", "MiB", "GiB"):
        count /= 1024
        if count < 1024 or unit == "GiB":  # noqa: PLR2004
            break
    return f"{count:.1f} {unit}"


def processor(slice_: dict[str, Any]) -> str:
    """How much of one processor a slice used, in per cent."""
    used, seconds = slice_.get("processor_seconds"), slice_.get("seconds")
    return f"{100 * used / seconds:.0f} %" if used is not None and seconds else NOTHING


def plain(value: Any) -> str:
    """A setting's value as a person would write it."""
    words = {None: "off", True: "yes", False: "no"}
    if value is None or isinstance(value, bool):
        return words[value]
    if isinstance(value, float):
        return f"{value:g}"
    return f"{value:,}" if isinstance(value, int) else str(value)


def label(name: str) -> str:
    """A setting's or a metric's name in words: "learning_rate" → "Learning rate"."""
    known = {"bptt": "BPTT", "train_loss": "Training loss", "validation_loss": "Held-out loss"}
    words = name.replace("_", " ").replace("dim", "size").replace("vocab ", "vocabulary ")
    return known.get(name) or words[:1].upper() + words[1:]


def sentence(text: str) -> str:
    """An error's words as a sentence: a capital first, a full stop last."""
    text = text[:1].upper() + text[1:]
    return text if text.endswith((".", "!", "?")) else f"{text}."


def share(part: float) -> str:
    """A share of one in per cent: 0.253 → "25 %"."""
    percent = 100 * part
    if 0 < percent < 1:
        return "under 1 %"
    return f"{percent:.0f} %"


def short(count: float | None) -> str:
    """A large number in few letters: 224101 → "224 k", 3200000 → "3.2 M"."""
    if count is None:
        return NOTHING
    for unit, size in (("G", 1e9), ("M", 1e6), ("k", 1e3)):
        if count >= size:
            value = count / size
            return f"{value:.1f} {unit}" if value < 10 else f"{value:.0f} {unit}"  # noqa: PLR2004
    return f"{count:.0f}"


def token(text: str) -> str:
    """A token as people can see it: spaces and line ends as signs, but for a word's own space."""
    special = {"<sep>": "→", "<eos>": "⏎", "<unk>": "?"}
    if text in special:
        return special[text]
    text = text[1:] if text[:1] == " " and text.strip() else text
    return text.replace(" ", "·").replace("\n", "⏎").replace("\t", "⇥") or "∅"


FILTERS: tuple[Callable[..., Any], ...] = (
    state_word,
    state_sentence,
    allowed_actions,
    list_note,
    kind_words,
    integer,
    of_total,
    loss,
    perplexity,
    duration,
    ago,
    iso,
    calendar,
    size,
    plain,
    processor,
    label,
    sentence,
    share,
    short,
    token,
)


def install(blueprint: Blueprint) -> None:
    """Make the functions filters of all templates."""
    for function in FILTERS:
        blueprint.add_app_template_filter(function, function.__name__)
