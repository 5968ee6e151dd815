"""What a role may do.

A viewer looks and asks models, a member changes what is theirs, an admin also manages keys and
reads the audit log.

Nobody sees what another owner has, admins neither: one who must look makes a key of that owner, and
the audit log tells of it.
"""

from collections.abc import Callable
from typing import TypeVar

from flask import Flask, request

from worker.keys import ROLES, Role

SAFE_METHODS = frozenset({"GET", "HEAD", "OPTIONS"})
V = TypeVar("V", bound=Callable[..., object])


def needs(role: Role) -> Callable[[V], V]:
    """Say of a view which role it needs, where the method alone would say another one."""

    def mark(view: V) -> V:
        view.__dict__["needed_role"] = role
        return view

    return mark


def needed_role(app: Flask, endpoint: str | None, method: str) -> Role:
    """The least role that may call this: of what was marked, else reading or changing."""
    view = app.view_functions.get(endpoint or "")
    by_method: Role = "viewer" if method in SAFE_METHODS else "member"
    role: Role = getattr(view, "needed_role", by_method)
    return role


def allows(role: Role, needed: Role) -> bool:
    """Whether a role may do what another one may."""
    return ROLES.index(role) >= ROLES.index(needed)


def changes_something(app: Flask) -> bool:
    """Whether the present request is one that the audit log tells of."""
    if request.method in SAFE_METHODS:
        return False
    if request.endpoint in ("pages.begin_session", "pages.end_session"):
        return True
    return needed_role(app, request.endpoint, request.method) != "viewer"
