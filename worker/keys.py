"""Keys: who may come in, as whom, and for how long.

A key is 256 random bits; only its SHA-256 is kept. A slow hash such as bcrypt protects secrets that
people choose, which can be guessed; nobody guesses 256 bits, and a slow hash at every request would
be the easiest way to keep this service busy. `LSTMQ_API_KEYS` are keys of admins beside these.
"""

import hashlib
import hmac
import re
import secrets
from dataclasses import dataclass
from typing import Any, Literal, get_args

import sqlalchemy as sa

from lstmcore.errors import FieldError
from worker import database, paging, repeats
from worker.backend import Backend
from worker.database import now
from worker.errors import InvalidInput, NotFound
from worker.naming import check_name, new_id
from worker.records import Page
from worker.settings import LOOPBACK_HOSTS, Settings

TABLE = database.keys
Role = Literal["viewer", "member", "admin"]  # each may do what the one before may, and more
ROLES: tuple[Role, ...] = get_args(Role)
DAY_SECONDS = 86_400
LONGEST_DAYS = 3650
LONGEST_OWNER = 100
HIDDEN = ("token_sha256", "made_by", *repeats.COLUMNS)
# `lm_` + what a key is called by (12 hex digits) + `_` + the secret (43 characters of base64).
TOKEN = re.compile(r"(lm_[0-9a-f]{12})_[A-Za-z0-9_-]{43}")


@dataclass(frozen=True)
class Key:
    """A key without its secret."""

    id: str
    owner: str
    role: Role
    name: str  # what it is for, in its maker's words
    prefix: str  # the part of the token that is no secret
    created_at: float
    expires_at: float | None
    revoked_at: float | None
    last_used_at: float | None  # to about a minute
    usable: bool  # neither revoked nor expired, by the database's clock


def create(
    backend: Backend, *, owner: str, role: str = "member", name: str = "", days: float | None = None
) -> tuple[Key, str]:
    """Make a key; the token is returned here and never again. Raises InvalidInput."""
    row, token = _new(owner, role, name, days)
    with backend.database.writing() as connection:
        connection.execute(sa.insert(TABLE).values(**row))
    return get(backend, row["id"]), token


def create_once(
    backend: Backend,
    *,
    made_by: str,
    idempotency_key: str | None,
    owner: str,
    role: str,
    name: str,
    days: float | None,
) -> tuple[Key, str | None]:
    """The same for an admin whose request may come twice: the token is None the second time.

    The first key is an admin's. It closes the door, and somebody has to be able to make the next.
    """
    row, token = _new(owner, role, name, days)
    if row["role"] != "admin" and not exist(backend):
        message = "make an admin's first: from then on everybody needs a key"
        raise InvalidInput("This key cannot be made.", [{"loc": ["role"], "msg": message}])
    asked = repeats.digest({"role": role, "name": name, "days": days}, owner)
    kept = {"made_by": made_by, "idempotency_key": idempotency_key, "request_sha256": asked}
    with backend.database.writing() as connection:
        known = repeats.known(connection, made_by, idempotency_key, asked, TABLE)
        if known is None:
            connection.execute(sa.insert(TABLE).values(**row, **kept))
    return get(backend, known or row["id"]), None if known else token


def _new(owner: str, role: str, name: str, days: float | None) -> tuple[dict[str, Any], str]:
    """A row and its token. Raises InvalidInput."""
    refused: list[FieldError] = []
    clean = " ".join(owner.split())
    if not (0 < len(clean) <= LONGEST_OWNER and clean.isprintable() and not set(clean) & set(",:")):
        message = f"give 1 to {LONGEST_OWNER} printable characters without comma and colon"
        refused.append({"loc": ["owner"], "msg": message})
    if role not in ROLES:
        refused.append({"loc": ["role"], "msg": f"choose {', '.join(ROLES)}"})
    if days is not None and not 0 < days <= LONGEST_DAYS:
        refused.append({"loc": ["days"], "msg": f"give more than 0 and at most {LONGEST_DAYS}"})
    if refused:
        raise InvalidInput("This key cannot be made.", refused)
    prefix = f"lm_{secrets.token_hex(6)}"
    token = f"{prefix}_{secrets.token_urlsafe(32)}"
    row = {
        "id": new_id("key"),
        "owner": clean,
        "role": role,
        "name": check_name(name or f"{clean}'s key"),
        "prefix": prefix,
        "token_sha256": digest(token),
        "created_at": now(),
        "expires_at": None if days is None else now() + days * DAY_SECONDS,
    }
    return row, token


def get(backend: Backend, identifier: str) -> Key:
    """One key. Raises NotFound."""
    with backend.database.reading() as connection:
        row = connection.execute(_select().where(TABLE.c.id == identifier)).one_or_none()
    if row is None:
        raise NotFound(f"there is no key {identifier}")
    return _read(row)


def list_page(
    backend: Backend, *, owner: str | None = None, limit: int = 20, after: str | None = None
) -> Page[Key]:
    """Keys of everybody or of one owner, newest first, revoked and expired ones too."""
    query = _select() if owner is None else _select().where(TABLE.c.owner == owner)
    with backend.database.reading() as connection:
        return paging.page_of(connection, query, TABLE, after=after, limit=limit, read=_read)


def revoke(backend: Backend, identifier: str) -> Key:
    """Make a key worthless, with every session it began; again: nothing happens. NotFound."""
    get(backend, identifier)
    with backend.database.writing() as connection:
        connection.execute(
            sa.update(TABLE)
            .where(TABLE.c.id == identifier, TABLE.c.revoked_at.is_(None))
            .values(revoked_at=now())
        )
    return get(backend, identifier)


def find(backend: Backend, token: str) -> Key | None:
    """The usable key with this token, found by its open part and compared in constant time."""
    shape = TOKEN.fullmatch(token)
    if shape is None:
        return None
    query = _select(TABLE.c.token_sha256).where(TABLE.c.prefix == shape[1])
    with backend.database.reading() as connection:
        row = connection.execute(query).one_or_none()
    if row is None or not hmac.compare_digest(row.token_sha256, digest(token)):
        return None
    return _read(row) if row.usable else None


def touch(backend: Backend, identifier: str) -> None:
    """Note that a key was used just now."""
    with backend.database.writing() as connection:
        connection.execute(
            sa.update(TABLE).where(TABLE.c.id == identifier).values(last_used_at=now())
        )


def exist(backend: Backend) -> bool:
    """Whether a request needs a key: true from the first key on, revoked or not.

    The last key's end must not open the door again.
    """
    if backend.settings.api_keys:
        return True
    with backend.database.reading() as connection:
        return connection.scalar(sa.select(TABLE.c.id).limit(1)) is not None


def check_door(backend: Backend) -> None:
    """Raise ValueError when the service would listen beyond this machine and needs no key."""
    host = backend.settings.host
    if host not in LOOPBACK_HOSTS and not exist(backend):
        raise ValueError(_open_door(host))


def check_address(settings: Settings) -> None:
    """The same, before there is anything: where nothing was ever kept there is no key either."""
    kept = settings.database_url or settings.data_dir.exists()
    if settings.host not in LOOPBACK_HOSTS and not settings.api_keys and not kept:
        raise ValueError(_open_door(settings.host))


def _open_door(host: str) -> str:
    return (
        f"LSTMQ_HOST={host} would let anybody in: make a key first (`lstmq keys create admin "
        "--role admin`, or set LSTMQ_API_KEYS=owner:key)"
    )


def digest(token: str) -> str:
    """What is kept of a secret."""
    return hashlib.sha256(token.encode("utf-8", "replace")).hexdigest()


def usable() -> "sa.ColumnElement[bool]":
    """Neither revoked nor expired."""
    return sa.and_(
        TABLE.c.revoked_at.is_(None),
        sa.or_(TABLE.c.expires_at.is_(None), TABLE.c.expires_at > now()),
    )


def _select(*more: "sa.ColumnElement[Any]") -> "sa.Select[Any]":
    shown = [column for column in TABLE.c if column.name not in HIDDEN]
    return sa.select(*shown, usable().label("usable"), *more)


def _read(row: "sa.Row[Any]") -> Key:
    values = row._asdict()
    values.pop("token_sha256", None)
    return Key(**(values | {"usable": bool(row.usable)}))
