"""Whether a question that is not answered is lost: it waits nowhere, and no predictor has it."""

from dataclasses import dataclass

HELD_SECONDS = 5  # a predictor is believed for so long that it has a question
LOST_SECONDS = 4.0  # a question that was nowhere for so long is lost
LOST = "the predictor that worked on it is gone; ask again in a moment"


@dataclass
class Search:
    """What is known of a question whose answer does not come."""

    repeated: bool = False  # it was lost once already
    answered: bool = False  # a part of its answer has come
    missing_since: float | None = None
    rings_after: float = 0.0

    def found_nothing(self, somewhere: bool | None, at: float) -> bool:
        """Note a look at a time; whether the question is lost by now."""
        if somewhere is False:
            self.missing_since = at if self.missing_since is None else self.missing_since
            return at - self.missing_since > LOST_SECONDS
        self.missing_since = None
        return False

    def rings(self, waited: float) -> bool:
        """Whether it is time to ring again: after seconds that double each time."""
        if waited < self.rings_after:
            return False
        self.rings_after = 2 * waited
        return True
