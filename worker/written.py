"""What prediction jobs write, piece by piece, for those who watch: over Redis, and for a while.

The records have every text once its turn is published. Pieces are numbered in the order they were
written, so that whoever lost the connection goes on behind the last one they saw. A prompt that is
begun again, because its predictor was lost, says so.
"""

import time

from worker.live import Live
from worker.records import Json

MOST_PIECES = 5_000  # of a job; what it writes beyond that is seen when it is done
TELL_SECONDS = 0.1


class Written:
    """The predictor's side: tells what one job writes. Best effort."""

    def __init__(self, live: Live, job: str) -> None:
        self._live, self._job = live, job
        self._untold: list[Json] = []
        self._told_at, self._kept = 0.0, 0
        self._prompt, self._begins = 0, True

    def begin(self, prompt: int) -> None:
        """A text begins: the answer to a prompt, by its number."""
        self._prompt, self._begins = prompt, True

    def add(self, text: str) -> None:
        """A piece was written."""
        self._untold.append({"index": self._prompt, "text": text, "begins": self._begins})
        self._begins = False
        if time.monotonic() - self._told_at > TELL_SECONDS:
            self.tell()

    def tell(self) -> None:
        """Show what was written so far."""
        room = MOST_PIECES - self._kept
        if self._untold and room > 0:
            self._kept = self._live.add_pieces(self._job, self._untold[:room]) or 0
        self._untold, self._told_at = [], time.monotonic()
