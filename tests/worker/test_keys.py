"""Keys, sessions and the audit log in the records of either kind of database."""

import re

import pytest
import sqlalchemy as sa

from worker import audit, database, keys, sessions
from worker.backend import Backend
from worker.database import now
from worker.errors import InvalidInput, NotFound

LONG_AGO = 10 * 86_400.0


def test_a_key_is_shown_once_and_kept_as_a_digest(backend: Backend) -> None:
    key, token = keys.create(backend, owner="ann", role="viewer", name="laptop")
    assert re.fullmatch(keys.TOKEN, token)
    assert keys.find(backend, token) == key
    secret = token.removeprefix(f"{key.prefix}_")
    with backend.database.reading() as connection:
        rows = connection.execute(sa.select(database.keys)).all()
    assert secret not in str(rows)
    assert secret not in str(keys.list_page(backend).data)


@pytest.mark.parametrize("change", [lambda token: token[:-1] + "!", lambda token: token[:-1]])
def test_almost_the_token_is_nothing(backend: Backend, change: object) -> None:
    key, token = keys.create(backend, owner="ann")
    assert keys.find(backend, change(token)) is None  # type: ignore[operator]
    assert keys.find(backend, f"{key.prefix}_{'a' * 43}") is None
    assert keys.find(backend, "") is None
    assert keys.find(backend, token.upper()) is None


def test_a_revoked_or_expired_key_is_nothing_with_its_sessions(backend: Backend) -> None:
    for ending in ("revoked", "expired"):
        key, token = keys.create(backend, owner="ann", days=1)
        session = sessions.begin(backend, owner="ann", key=key.id)
        assert keys.find(backend, token)
        assert sessions.find(backend, session)
        if ending == "revoked":
            revoked_at = keys.revoke(backend, key.id).revoked_at
            assert revoked_at
            assert keys.revoke(backend, key.id).revoked_at == revoked_at
        else:
            with backend.database.writing() as connection:
                connection.execute(sa.update(database.keys).values(expires_at=now() - 1))
        assert keys.find(backend, token) is None
        assert sessions.find(backend, session) is None
        assert not keys.get(backend, key.id).usable


def test_the_end_of_the_last_key_opens_nothing(backend: Backend) -> None:
    assert not keys.exist(backend)
    key, _ = keys.create(backend, owner="ann")
    keys.revoke(backend, key.id)
    assert keys.exist(backend)


def test_the_door_beyond_this_machine_needs_a_key(backend: Backend) -> None:
    keys.check_door(backend)
    everywhere = {"host": "0.0.0.0"}  # noqa: S104 - what is refused without keys
    object.__setattr__(backend, "settings", backend.settings.model_copy(update=everywhere))
    with pytest.raises(ValueError, match="LSTMQ_API_KEYS"):
        keys.check_door(backend)
    keys.create(backend, owner="ann")
    keys.check_door(backend)


def test_what_cannot_be_a_key_is_said_all_at_once(backend: Backend) -> None:
    with pytest.raises(InvalidInput) as caught:
        keys.create(backend, owner="a,b", role="king", days=-1)
    assert [error["loc"] for error in caught.value.errors] == [["owner"], ["role"], ["days"]]
    for owner in ("", " ", "a:b", "x" * 101, "a\0b"):
        with pytest.raises(InvalidInput):
            keys.create(backend, owner=owner)
    for days in (0, float("nan"), float("inf"), 1e9):
        with pytest.raises(InvalidInput):
            keys.create(backend, owner="ann", days=days)
    with pytest.raises(NotFound):
        keys.revoke(backend, "key-nothing")


def test_keys_are_listed_by_owner_and_by_page(backend: Backend) -> None:
    made = [keys.create(backend, owner=owner)[0].id for owner in ("ann", "bob", "ann")]
    assert {key.id for key in keys.list_page(backend).data} == set(made)
    assert {key.id for key in keys.list_page(backend, owner="ann").data} == {made[2], made[0]}
    first = keys.list_page(backend, limit=2)
    rest = keys.list_page(backend, limit=2, after=first.next)
    assert {key.id for key in (*first.data, *rest.data)} == set(made)


def test_sessions_end(backend: Backend) -> None:
    key, _ = keys.create(backend, owner="ann")
    session = sessions.begin(backend, owner="ann", key=key.id)
    sessions.end(backend, session)
    assert sessions.find(backend, session) is None
    late = sessions.begin(backend, owner="ann", key=key.id)
    with backend.database.writing() as connection:
        connection.execute(sa.update(database.sessions).values(expires_at=now() - 1))
    assert sessions.find(backend, late) is None
    sessions.prune(backend)
    with backend.database.reading() as connection:
        assert connection.scalar(sa.select(sa.func.count()).select_from(database.sessions)) == 0


def test_entries_of_the_audit_log_are_never_changed(backend: Backend) -> None:
    for number in range(3):
        audit.note(backend, audit.Deed("ann", "x" * 500), target=str(number))
    with pytest.raises(sa.exc.DBAPIError, match="never changed"):  # noqa: SIM117
        with backend.database.writing() as connection:
            connection.execute(sa.update(database.audit).values(owner="bob"))
    found = audit.list_page(backend, owner="ann").data
    assert {entry.target for entry in found} == {"0", "1", "2"}
    assert audit.list_page(backend, owner="bob").data == []
    assert len(audit.list_page(backend, target="1").data) == 1


def test_old_entries_go_and_none_other(backend: Backend) -> None:
    audit.note(backend, audit.Deed("ann", "now"))
    with backend.database.writing() as connection:
        old = {"id": "audit-old", "created_at": now() - LONG_AGO, "owner": "ann", "status": 0}
        empty = dict.fromkeys(("key", "action", "target", "address", "request"), "")
        connection.execute(sa.insert(database.audit).values(**(empty | old)))
    assert audit.prune(backend, days=0) == 0
    assert audit.prune(backend, days=9) == 1
    assert [entry.action for entry in audit.list_page(backend).data] == ["now"]
