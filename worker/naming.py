"""Ids that we make and names that people choose."""

import secrets

from worker.errors import InvalidInput

LONGEST_NAME = 200
# A model may be asked for by its name, and these follow it in a path.
ROUTES = tuple(
    f"/{name}"
    for name in (
        *("download", "predict", "next", "score", "explain"),
        *("neurons", "saliency", "nearest", "map"),
    )
)


def new_id(prefix: str) -> str:
    """A fresh id such as `job-3f9c…`: 80 random bits, safe in URLs and file names."""
    return f"{prefix}-{secrets.token_hex(10)}"


def check_name(name: str) -> str:
    """A name on one line, not empty, not too long. Raises InvalidInput."""
    clean = " ".join(name.split())
    if clean.endswith(ROUTES):
        raise InvalidInput(
            f"a name must not end in {', '.join(ROUTES)}",
            [{"loc": ["name"], "msg": "choose another ending"}],
        )
    if not clean or len(clean) > LONGEST_NAME or not clean.isprintable():
        raise InvalidInput(
            f"a name needs 1 to {LONGEST_NAME} printable characters",
            [{"loc": ["name"], "msg": f"give 1 to {LONGEST_NAME} printable characters"}],
        )
    return clean
