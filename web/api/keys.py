"""`/keys`: who may come in. For admins."""

from typing import Annotated, Literal

from flask import Blueprint, Response
from pydantic import Field

from web.api.parsing import Body, PageQuery, idempotency_key, read_body, read_query
from web.api.serialize import respond_json
from web.api.shapes import EXAMPLE_TIME, ROOT, PageAnswer, Time, iso_time, page_of, some_time
from web.auth import current_backend, current_owner
from web.operation import Answer, about, describes
from web.roles import needs
from worker import keys as contract

keys = Blueprint("keys", __name__, url_prefix="/keys")


class KeyBody(Body):
    """A new key: whose, for what, how much it may do and for how long."""

    owner: str = about("Whose it is.", "ann")
    role: str = about("What it may do: viewer, member or admin.", "member", "member")
    name: str = about("What it is for.", "notebook", "")
    days: Annotated[float, Field(strict=False)] | None = about(
        "Days until it ends; null: it does not.", 30, None
    )


class KeyListQuery(PageQuery):
    """A page of everybody's keys, or of one owner's."""

    owner: str | None = about("Only this owner's.", "ann", None)


class KeyAnswer(Answer):
    """A key without its secret."""

    id: str = about("Its id.", "key-0a1b2c3d4e5f60718293")
    object: Literal["key"] = about("What this is.", "key", "key")
    owner: str = about("Whose it is.", "ann")
    role: contract.Role = about("What it may do.", "member")
    name: str = about("What it is for.", "notebook")
    prefix: str = about("The part of it that is no secret.", "lm_0a1b2c3d4e5f")
    usable: bool = about("Neither revoked nor expired.", True)
    created_at: Time = about("When it was made.", EXAMPLE_TIME)
    expires_at: Time | None = about("When it ends.", None)
    revoked_at: Time | None = about("When it was ended.", None)
    last_used_at: Time | None = about("When it was last used, to about a minute.", None)

    @classmethod
    def of(cls, key: contract.Key) -> "KeyAnswer":
        """A key as it is kept."""
        return cls(
            id=key.id,
            owner=key.owner,
            role=key.role,
            name=key.name,
            prefix=key.prefix,
            usable=key.usable,
            created_at=some_time(key.created_at),
            expires_at=iso_time(key.expires_at),
            revoked_at=iso_time(key.revoked_at),
            last_used_at=iso_time(key.last_used_at),
        )


class NewKeyAnswer(KeyAnswer):
    """A key that was just made."""

    key: str | None = about(
        "The key itself, shown this once; null: an earlier request made it. Was its answer lost, "
        "delete this key and ask with another `Idempotency-Key`.",
        "lm_0a1b2c3d4e5f_…",
    )

    @classmethod
    def shown(cls, key: contract.Key, token: str | None) -> "NewKeyAnswer":
        """A key with its secret."""
        return cls(**KeyAnswer.of(key).model_dump(), key=token)


@keys.post("")
@needs("admin")
@describes(answers={201: NewKeyAnswer}, body=KeyBody, headers=("Idempotency-Key",))
def create() -> Response:
    """Make a key; `key` in the answer is shown this once."""
    body = read_body(KeyBody)
    key, token = contract.create_once(
        current_backend(),
        owner=body.owner,
        role=body.role,
        name=body.name,
        days=body.days,
        made_by=current_owner(),
        idempotency_key=idempotency_key(),
    )
    address = f"{ROOT}/keys/{key.id}"
    return respond_json(NewKeyAnswer.shown(key, token), 201, {"Location": address})


@keys.get("")
@needs("admin")
@describes(answers={200: PageAnswer[KeyAnswer]}, query=KeyListQuery)
def list_all() -> Response:
    """Every key, newest first, without the secrets, which nobody knows."""
    query = read_query(KeyListQuery)
    page = contract.list_page(
        current_backend(), owner=query.owner, limit=query.limit, after=query.after
    )
    return respond_json(page_of(page, KeyAnswer.of))


@keys.get("/<identifier>")
@needs("admin")
@describes(answers={200: KeyAnswer})
def get(identifier: str) -> Response:
    """One key."""
    return respond_json(KeyAnswer.of(contract.get(current_backend(), identifier)))


@keys.delete("/<identifier>")
@needs("admin")
@describes(answers={200: KeyAnswer})
def revoke(identifier: str) -> Response:
    """End a key and its sessions, everywhere within a second; its record stays."""
    return respond_json(KeyAnswer.of(contract.revoke(current_backend(), identifier)))
