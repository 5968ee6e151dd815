"""Sessions: a browser that was signed in with a key, until it signs out or time is up.

The cookie holds 256 random bits, the record their SHA-256. A session is worth what its key is worth
now: it ends with the key.
"""

import secrets
from dataclasses import dataclass

import sqlalchemy as sa

from worker import database, keys
from worker.backend import Backend
from worker.database import now

TABLE = database.sessions
HOUR_SECONDS = 3600


@dataclass(frozen=True)
class Session:
    """What a session's record says; `key` is an id of `keys`, or names an entry of the settings."""

    owner: str
    key: str
    role: keys.Role | None  # of the key, while it is usable; None for one of the settings


def begin(backend: Backend, *, owner: str, key: str) -> str:
    """Sign in; what the cookie will carry."""
    token = secrets.token_urlsafe(32)
    row = {
        "token_sha256": keys.digest(token),
        "owner": owner,
        "key": key,
        "created_at": now(),
        "expires_at": now() + backend.settings.session_hours * HOUR_SECONDS,
    }
    with backend.database.writing() as connection:
        connection.execute(sa.insert(TABLE).values(**row))
    return token


def find(backend: Backend, token: str) -> Session | None:
    """The session with this token, unless it or its key has ended."""
    query = (
        sa.select(TABLE.c.owner, TABLE.c.key, keys.TABLE.c.role, keys.usable().label("usable"))
        .outerjoin(keys.TABLE, keys.TABLE.c.id == TABLE.c.key)
        .where(TABLE.c.token_sha256 == keys.digest(token), TABLE.c.expires_at > now())
    )
    with backend.database.reading() as connection:
        row = connection.execute(query).one_or_none()
    if row is None or (row.role is not None and not row.usable):
        return None
    return Session(owner=row.owner, key=row.key, role=row.role)


def end(backend: Backend, token: str) -> None:
    """Sign out."""
    with backend.database.writing() as connection:
        connection.execute(sa.delete(TABLE).where(TABLE.c.token_sha256 == keys.digest(token)))


def prune(backend: Backend) -> None:
    """Remove the sessions whose time is up."""
    with backend.database.writing() as connection:
        connection.execute(sa.delete(TABLE).where(TABLE.c.expires_at <= now()))
