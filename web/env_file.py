"""Writes `.env` for docker compose: `python3 -I web/env_file.py .env` (make secrets).

Needs nothing but the standard library, so it runs before anything is installed.
"""

import os
import secrets
import sys
from pathlib import Path

OWNER = "admin"


def write(path: Path) -> str:
    """Make the Redis password and one key, write them (0600), and return the key.

    Raises FileExistsError when the file is there: a running deployment depends on it.
    """
    key = f"lm_{secrets.token_urlsafe(32)}"
    lines = [
        "# Made by `make secrets`; read by docker compose. Keep it to yourself.",
        f"REDIS_PASSWORD={secrets.token_hex(32)}",
        "# Used only with the profiles `postgres` and `monitoring` (docs/operations.md).",
        f"POSTGRES_PASSWORD={secrets.token_hex(32)}",
        f"GRAFANA_PASSWORD={secrets.token_hex(16)}",
        "# owner:key,owner:key",
        f"LSTMQ_API_KEYS={OWNER}:{key}",
    ]
    descriptor = os.open(path, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600)
    with os.fdopen(descriptor, "w") as file:
        file.write("\n".join(lines) + "\n")
    return key


def main() -> int:
    """The command; exit code 1 when there is such a file already."""
    path = Path(sys.argv[1])
    try:
        key = write(path)
    except FileExistsError:
        sys.stderr.write(f"{path} is there already and was not changed. Delete it for new ones.\n")
        return 1
    sys.stdout.write(
        f"{path} is written, for docker compose only.\n"
        f"Your key (owner {OWNER}), shown once:\n\n    {key}\n\n"
        "Programs send it as `Authorization: Bearer KEY`; a browser asks for it.\n"
    )
    return 0


if __name__ == "__main__":
    sys.exit(main())
