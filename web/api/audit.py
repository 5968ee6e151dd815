"""`/audit`: who did what. For admins."""

from flask import Blueprint, Response

from web.api.parsing import PageQuery, read_query
from web.api.serialize import iso_time, page_json, respond_json
from web.auth import current_backend
from web.roles import needs
from worker import audit as contract
from worker.records import Json

audit = Blueprint("audit", __name__, url_prefix="/audit")


class AuditQuery(PageQuery):
    """A page of the entries that fit."""

    owner: str | None = None
    action: str | None = None
    target: str | None = None


@audit.get("")
@needs("admin")
def list_all() -> Response:
    """The entries of everybody, newest first."""
    query = read_query(AuditQuery)
    page = contract.list_page(
        current_backend(),
        owner=query.owner,
        action=query.action,
        target=query.target,
        limit=query.limit,
        after=query.after,
    )
    return respond_json(page_json(page, entry_json))


def entry_json(entry: contract.Entry) -> Json:
    """An entry of the log."""
    return {
        "id": entry.id,
        "object": "audit_entry",
        "created_at": iso_time(entry.created_at),
        "owner": entry.owner,
        "key": entry.key,
        "action": entry.action,
        "target": entry.target,
        "status": entry.status,
        "address": entry.address,
        "request": entry.request,
    }
