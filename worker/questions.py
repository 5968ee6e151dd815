"""Questions that a predictor has taken: what is known of each, and whose prompt comes next."""

from collections import deque
from collections.abc import Callable
from dataclasses import dataclass

from lstmcore.config import Sampling
from worker.asks import Ask
from worker.records import Json


@dataclass(eq=False)
class Question:
    """Prompts of somebody who waits for how they go on."""

    ask: Ask
    prompts: list[str]
    sampling: Sampling
    unfinished: int  # prompts
    over: bool = False  # answered, failed, or nobody waits any more

    @property
    def texts(self) -> int:
        """How many texts one of its prompts takes."""
        return max(self.sampling.n, self.sampling.beams)


class Lines:
    """A line of prompts for each owner. Owners take turns; each line keeps its order."""

    def __init__(self) -> None:
        self._lines: dict[str, deque[tuple[Question, int]]] = {}

    def __len__(self) -> int:
        return sum(map(len, self._lines.values()))

    def add(self, question: Question) -> None:
        """Let all prompts of a question wait."""
        line = self._lines.setdefault(question.ask.owner, deque())
        line.extend((question, number) for number in range(len(question.prompts)))

    def next(self, has_room: Callable[[Question], bool]) -> tuple[Question, int] | None:
        """The next prompt there is room for, with its number; None when there is none."""
        for owner in list(self._lines):
            line = self._lines[owner]
            while line and line[0][0].over:
                line.popleft()
            if not line:
                del self._lines[owner]
            elif has_room(line[0][0]):
                found = line.popleft()
                # Behind the other owners: whoever was let in waits for them.
                self._lines[owner] = self._lines.pop(owner)
                return found
        return None


def error_item(error: Exception) -> Json:
    """The last item of an answer that went wrong, in words for who asked."""
    return {
        "type": "error",
        "code": type(error).__name__,
        "message": str(error),
        "errors": getattr(error, "errors", []),
        "last": True,
    }


def internal_error_item() -> Json:
    """The same where the fault is ours and the log has the rest."""
    return {"type": "error", "code": "internal", "message": "the predictor failed", "last": True}
