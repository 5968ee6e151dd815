"""Which caller a key or a session stands for, remembered for a moment.

What was found is believed for a second, so that a client that asks again and again costs no query
each time; what is revoked or signed out anywhere is therefore refused everywhere a second later.
"""

import hashlib
import hmac
import time
from collections.abc import Callable
from contextlib import suppress
from dataclasses import dataclass

from worker import keys, sessions
from worker.backend import Backend
from worker.errors import Unavailable

BELIEVED_SECONDS = 1.0
MOST_REMEMBERED = 10_000
TOUCH_SECONDS = 60.0  # a key's last use is noted no more often than this


@dataclass(frozen=True)
class Caller:
    """Whoever makes a request."""

    owner: str
    role: keys.Role
    key: str  # id of the key; "" where no key is needed


# Without keys everything belongs to whoever sits at this machine.
LOCAL = Caller(owner="local", role="admin", key="")


class Identity:
    """Knows the keys of one installation."""

    def __init__(self, backend: Backend) -> None:
        self._backend = backend
        self._configured = {
            _reference(owner, key): (Caller(owner, "admin", _reference(owner, key)), _digest(key))
            for owner, key in backend.settings.api_keys.items()
        }
        self._remembered: dict[str, tuple[Caller, float]] = {}
        self._known: set[str] = set()
        self._needs_key = bool(self._configured)
        self._asked_at = float("-inf")

    def needs_key(self) -> bool:
        """Whether a request needs a key; once there was one it always does."""
        if not self._needs_key and time.monotonic() - self._asked_at > BELIEVED_SECONDS:
            self._needs_key = keys.exist(self._backend)
            self._asked_at = time.monotonic()
        return self._needs_key

    def of_key(self, token: str) -> Caller | None:
        """The caller whose key this is. Raises Unavailable when the records cannot be asked."""
        found = None
        # Digests have one length and every key is compared, so the time taken tells nothing.
        given = _digest(token)
        for caller, kept in self._configured.values():
            if hmac.compare_digest(given, kept):
                found = caller
        name = f"key {keys.digest(token)}"
        found = found or self._remember(name, lambda: self._kept_key(token))
        if found is None:
            self._known.discard(name)
        elif len(self._known) < MOST_REMEMBERED:
            self._known.add(name)
        return found

    def of_session(self, token: str) -> Caller | None:
        """The caller who signed in with this session. Raises Unavailable."""
        return self._remember(_session_name(token), lambda: self._kept_session(token))

    def is_known(self, token: str) -> bool:
        """Whether this very key was right when it was last shown."""
        return f"key {keys.digest(token)}" in self._known

    def forget_session(self, token: str) -> None:
        """Refuse a session from now on, in this process; elsewhere within a second."""
        self._remembered.pop(_session_name(token), None)

    def _remember(self, name: str, find: Callable[[], Caller | None]) -> Caller | None:
        known = self._remembered.get(name)
        if known is not None and time.monotonic() < known[1]:
            return known[0]
        caller = find()
        if caller is None:
            self._remembered.pop(name, None)
            return None
        if len(self._remembered) >= MOST_REMEMBERED:
            self._remembered.clear()
        self._remembered[name] = (caller, time.monotonic() + BELIEVED_SECONDS)
        return caller

    def _kept_key(self, token: str) -> Caller | None:
        key = keys.find(self._backend, token)
        if key is None:
            return None
        if key.last_used_at is None or time.time() - key.last_used_at > TOUCH_SECONDS:
            with suppress(Unavailable):  # only a note
                keys.touch(self._backend, key.id)
        return Caller(key.owner, key.role, key.id)

    def _kept_session(self, token: str) -> Caller | None:
        session = sessions.find(self._backend, token)
        if session is None:
            return None
        if session.role is not None:
            return Caller(session.owner, session.role, session.key)
        caller, _ = self._configured.get(session.key, (None, b""))
        return caller


def _reference(owner: str, key: str) -> str:
    """What a configured key is called in records: it changes when the key does."""
    return f"env-{hashlib.sha256(f'{owner}:{key}'.encode()).hexdigest()[:16]}"


def _session_name(token: str) -> str:
    return f"session {keys.digest(token)}"


def _digest(key: str) -> bytes:
    return hashlib.sha256(key.encode("utf-8", "replace")).digest()
