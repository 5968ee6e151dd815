"""What the harness saw, line by line in a file outside the system; the checks read only this."""

import json
import os
import time
from pathlib import Path
from typing import Any

Entry = dict[str, Any]


class Ledger:
    """Appends one JSON object a line, on the disk before the call returns."""

    def __init__(self, path: Path) -> None:
        self.path = path
        self._began = time.monotonic()
        self._file = path.open("a")

    def note(self, what: str, **facts: Any) -> None:
        """Write down that something happened."""
        entry = {"what": what, "at": round(time.monotonic() - self._began, 2), **facts}
        self._file.write(json.dumps(entry) + "\n")
        self._file.flush()
        os.fsync(self._file.fileno())

    def close(self) -> None:
        """Nothing more will be noted."""
        self._file.close()

    def entries(self, what: str) -> list[Entry]:
        """Everything of a kind, in order."""
        entries = [json.loads(line) for line in self.path.read_text().splitlines()]
        return [entry for entry in entries if entry["what"] == what]
