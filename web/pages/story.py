"""A job's durable events, sorted into what its page shows."""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field
from typing import Any

from web.auth import current_backend
from worker import events
from worker.records import Event, Json

EVENTS_AT_ONCE = 1000
# Of long trainings only the newest of these are on the page, and so many points of the curve; all
# of them are in the CSV.
SHOWN = 60
POINTS = 600

Point = tuple[int, float | None, float | None]  # step, training loss, held-out loss


@dataclass
class Story:
    """What has happened to a job so far."""

    curve: list[Point] = field(default_factory=list)
    samples: list[Event] = field(default_factory=list)  # newest first, as are the next two
    slices: list[Event] = field(default_factory=list)
    log: list[Event] = field(default_factory=list)
    faults: int = 0  # warnings of the log: what went wrong and was survived
    expectation: Json | None = None  # see worker.speed
    used: Json = field(default_factory=lambda: {"seconds": 0.0, "processor": 0.0, "memory": 0})
    last_event: int = 0


def tell(identifier: str) -> Story:
    """The story of a job; the caller has checked whose it is."""
    story = Story()
    for event in all_events(identifier):
        _add(story, event)
    for part in (story.samples, story.slices, story.log):
        part.reverse()
        del part[SHOWN:]
    story.curve = thinned(story.curve)
    return story


def all_events(identifier: str) -> Iterator[Event]:
    """Every event of a job, oldest first."""
    last = 0
    while True:
        batch = events.after(current_backend(), identifier, last, EVENTS_AT_ONCE)
        yield from batch
        if len(batch) < EVENTS_AT_ONCE:
            return
        last = batch[-1].id


def thinned(curve: Sequence[Point], most: int = POINTS) -> list[Point]:
    """At most so many points: the extremes of each stretch, so that no peak gets lost."""
    if len(curve) <= most:
        return list(curve)
    stretch = 2 * len(curve) / (most - 2)
    kept = {0, len(curve) - 1}
    for number in range((most - 2) // 2):
        part = range(int(number * stretch), min(int((number + 1) * stretch), len(curve)))
        if part:
            kept |= {min(part, key=lambda at: _height(curve[at]))}
            kept |= {max(part, key=lambda at: _height(curve[at]))}
    return [curve[at] for at in sorted(kept)]


def _height(point: Point) -> float:
    return next((value for value in (point[2], point[1]) if value is not None), 0.0)


def _add(story: Story, event: Event) -> None:
    story.last_event = event.id
    data: Any = event.data
    match event.type:
        case "metrics":
            train, validation = data.get("train_loss"), data.get("validation_loss")
            story.curve.append((data.get("step", 0), train, validation))
        case "sample":
            story.samples.append(event)
        case "slice":
            story.slices.append(event)
            used = story.used
            used["seconds"] += data.get("seconds") or 0.0
            used["processor"] += data.get("processor_seconds") or 0.0
            used["memory"] = max(used["memory"], data.get("memory_bytes") or 0)
        case "log" if "estimate" in data:
            story.expectation = data["estimate"]
        case "log":
            story.log.append(event)
            story.faults += data.get("level") == "warning"
