"""The blueprint that the pages' modules hang their routes on."""

from flask import Blueprint, redirect
from werkzeug.wrappers import Response

pages = Blueprint("pages", __name__)


def see_other(address: str) -> Response:
    """303: what was asked is done, the browser shows `address` next."""
    return redirect(address, code=303)
