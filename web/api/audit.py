"""`/audit`: who did what. For admins."""

from typing import Literal

from flask import Blueprint, Response

from web.api.parsing import PageQuery, read_query
from web.api.serialize import respond_json
from web.api.shapes import EXAMPLE_TIME, PageAnswer, Time, page_of, some_time
from web.auth import current_backend
from web.operation import Answer, about, describes
from web.roles import needs
from worker import audit as contract

audit = Blueprint("audit", __name__, url_prefix="/audit")


class AuditQuery(PageQuery):
    """A page of the entries that fit."""

    owner: str | None = about("Only what this owner did.", "ann", None)
    action: str | None = about("Only this action.", "api.jobs.cancel", None)
    target: str | None = about("Only what was done to this.", "job-7b1d9e3f5a2c4d6e8f01", None)


class EntryAnswer(Answer):
    """Something that somebody did, or was not allowed to do."""

    id: str = about("Its id.", "audit-0a1b2c3d4e5f60718293")
    object: Literal["audit_entry"] = about("What this is.", "audit_entry", "audit_entry")
    created_at: Time = about("When it was done.", EXAMPLE_TIME)
    owner: str = about("By whom; empty: nobody known.", "ann")
    key: str = about("With which key.", "key-0a1b2c3d4e5f60718293")
    action: str = about("What was done.", "api.jobs.cancel")
    target: str = about("To what.", "job-7b1d9e3f5a2c4d6e8f01")
    status: int = about("What was answered.", 200)
    address: str = about("From where.", "127.0.0.1")
    request: str = about("The request's id.", "req-1")

    @classmethod
    def of(cls, entry: contract.Entry) -> "EntryAnswer":
        """An entry of the log."""
        return cls(
            id=entry.id,
            created_at=some_time(entry.created_at),
            owner=entry.owner,
            key=entry.key,
            action=entry.action,
            target=entry.target,
            status=entry.status,
            address=entry.address,
            request=entry.request,
        )


@audit.get("")
@needs("admin")
@describes(answers={200: PageAnswer[EntryAnswer]}, query=AuditQuery)
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
    return respond_json(page_of(page, EntryAnswer.of))
