"""Everything that can go wrong in the job contract.

WorkerError
├── NotFound            no such record for this owner
├── InvalidInput        a value was refused; `errors` says which and why
├── WrongState          the record does not allow this move; `state` says where it is
├── QuotaExceeded       the owner has reached a limit
├── Unavailable         a part is not reachable now; ask again after `retry_after_seconds`
├── OtherVersion        a newer process must do this; asking it again later may succeed
├── NewerRecords        the records were made by a newer version: this one must not touch them
├── StoreError          the store does not take or give an artifact now
│   └── Damaged         an artifact is missing or not what its record says
└── LeaseLost           another worker owns this slice now; nothing may be published

The errors know nothing of HTTP: `web` decides the status codes in one place.
"""

from lstmcore.errors import FieldError


class WorkerError(Exception):
    """Root of the package's errors; `str(error)` is a sentence for the person who asked."""


class NotFound(WorkerError):
    """No such record for this owner."""


class InvalidInput(WorkerError):
    """A value was refused; `errors` names every field that is wrong."""

    def __init__(self, message: str, errors: list[FieldError] | None = None) -> None:
        super().__init__(message)
        self.errors: list[FieldError] = errors or []


class WrongState(WorkerError):
    """The record is in a state that does not allow this move."""

    def __init__(self, message: str, state: str) -> None:
        super().__init__(message)
        self.state = state


class QuotaExceeded(WorkerError):
    """The owner has reached a limit; `retry_after_seconds` says when asking again makes sense."""

    def __init__(self, message: str, retry_after_seconds: int = 30) -> None:
        super().__init__(message)
        self.retry_after_seconds = retry_after_seconds


class Unavailable(WorkerError):
    """A part (Redis, a predictor) cannot be reached or did not answer in time."""

    def __init__(self, message: str, retry_after_seconds: int = 5) -> None:
        super().__init__(message)
        self.retry_after_seconds = retry_after_seconds


class OtherVersion(WorkerError):
    """A job's settings or checkpoint are of a newer version than this process."""


class NewerRecords(WorkerError):
    """The database's tables are of a newer version than this code."""


class StoreError(WorkerError):
    """The store does not take or give an artifact now: full, read-only, unreachable."""


class Damaged(StoreError):
    """An artifact is missing or not what its record says; asking again gives the same."""


class LeaseLost(WorkerError):
    """The lease of a slice was lost: its result must not be published."""
