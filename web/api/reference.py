"""`/openapi.json`: this API for programs; `/docs`: the same for people."""

from flask import Blueprint, Response, current_app, url_for
from werkzeug.utils import redirect
from werkzeug.wrappers import Response as AnyResponse

from web.api.serialize import respond_json
from web.operation import Raw, describes

reference = Blueprint("reference", __name__)

# The key in `app.extensions` of the function that makes the document.
DOCUMENT = "lstmq.document"


@reference.get("/openapi.json")
@describes(answers={200: Raw("application/json", "An OpenAPI 3.1 document.")})
def document() -> Response:
    """This document."""
    return respond_json(current_app.extensions[DOCUMENT]())


@reference.get("/docs")
@describes(answers={303: None})
def docs() -> AnyResponse:
    """To the page that shows this document to people."""
    return redirect(url_for("pages.docs"), 303)
