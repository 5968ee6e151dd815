"""Whether records and artifacts agree: every artifact is read and its checksum compared."""

from dataclasses import dataclass, field

from worker.backend import Backend
from worker.errors import Damaged
from worker.references import Reference, held_slices, references
from worker.retention import slice_of


@dataclass
class Verification:
    """What was found."""

    checked: int = 0
    bytes: int = 0
    missing: list[Reference] = field(default_factory=list)
    damaged: list[Reference] = field(default_factory=list)
    orphaned: list[str] = field(default_factory=list)  # no harm: retention removes them

    @property
    def good(self) -> bool:
        """Whether every record has what it points at."""
        return not (self.missing or self.damaged)

    def lines(self) -> list[str]:
        """The same for people."""
        told = [
            f"{kind}: {item.file.key}, the {item.role} of {item.record}"
            for kind, items in (("missing", self.missing), ("damaged", self.damaged))
            for item in items
        ]
        told.append(f"{self.checked} artifacts, {self.bytes:,} bytes checked")
        if self.orphaned:
            told.append(f"{len(self.orphaned)} more that no record needs: removed within hours")
        return told


def verify(backend: Backend) -> Verification:
    """Check everything; safe while the service runs. Raises StoreError, Unavailable."""
    found = Verification()
    listed = [key for key, _ in backend.store.written()]
    with backend.database.reading() as connection:
        held, needed = held_slices(connection), references(connection)
    found.orphaned = sorted(
        key for key in listed if key not in needed and slice_of(key) not in held
    )
    for reference in needed.values():
        try:
            for chunk in backend.store.stream(reference.file):
                found.bytes += len(chunk)
        except Damaged as error:
            if not _is_still_needed(backend, reference):
                continue  # a slice was published meanwhile and took it away
            kind = (
                found.missing if isinstance(error.__cause__, FileNotFoundError) else found.damaged
            )
            kind.append(reference)
        found.checked += 1
    return found


def _is_still_needed(backend: Backend, reference: Reference) -> bool:
    with backend.database.reading() as connection:
        return reference.file.key in references(connection)
