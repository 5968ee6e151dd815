"""`/keys`: who may come in. For admins."""

from typing import Annotated

from flask import Blueprint, Response
from pydantic import Field

from web.api.parsing import Body, PageQuery, read_body, read_query
from web.api.serialize import ROOT, iso_time, page_json, respond_json
from web.auth import current_backend
from web.roles import needs
from worker import keys as contract
from worker.records import Json

keys = Blueprint("keys", __name__, url_prefix="/keys")


class KeyBody(Body):
    """A new key: whose, for what, how much it may do and for how long."""

    owner: str
    role: str = "member"
    name: str = ""
    days: Annotated[float, Field(strict=False)] | None = None


class KeyListQuery(PageQuery):
    """A page of everybody's keys, or of one owner's."""

    owner: str | None = None


@keys.post("")
@needs("admin")
def create() -> Response:
    """Make a key; `key` in the answer is shown this once."""
    body = read_body(KeyBody)
    key, token = contract.create(
        current_backend(), owner=body.owner, role=body.role, name=body.name, days=body.days
    )
    return respond_json(key_json(key) | {"key": token}, 201, {"Location": f"{ROOT}/keys/{key.id}"})


@keys.get("")
@needs("admin")
def list_all() -> Response:
    """Every key, newest first, without the secrets, which nobody knows."""
    query = read_query(KeyListQuery)
    page = contract.list_page(
        current_backend(), owner=query.owner, limit=query.limit, after=query.after
    )
    return respond_json(page_json(page, key_json))


@keys.get("/<identifier>")
@needs("admin")
def get(identifier: str) -> Response:
    """One key."""
    return respond_json(key_json(contract.get(current_backend(), identifier)))


@keys.delete("/<identifier>")
@needs("admin")
def revoke(identifier: str) -> Response:
    """End a key and its sessions, everywhere within a second; its record stays."""
    return respond_json(key_json(contract.revoke(current_backend(), identifier)))


def key_json(key: contract.Key) -> Json:
    """A key without its secret."""
    return {
        "id": key.id,
        "object": "key",
        "owner": key.owner,
        "role": key.role,
        "name": key.name,
        "prefix": key.prefix,
        "usable": key.usable,
        "created_at": iso_time(key.created_at),
        "expires_at": iso_time(key.expires_at),
        "revoked_at": iso_time(key.revoked_at),
        "last_used_at": iso_time(key.last_used_at),
    }
