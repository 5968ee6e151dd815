"""Pages as people's browsers read them: their elements, forms and messages."""

import re
from html import unescape
from html.parser import HTMLParser

from flask.testing import FlaskClient
from werkzeug.test import TestResponse


class Elements(HTMLParser):
    """Every start tag with its attributes."""

    def __init__(self, page: str) -> None:
        super().__init__()
        self.found: list[tuple[str, dict[str, str | None]]] = []
        self.feed(page)

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.found.append((tag, dict(attrs)))


def elements(page: str, tag: str) -> list[dict[str, str | None]]:
    return [attrs for name, attrs in Elements(page).found if name == tag]


def hidden_fields(page: str) -> dict[str, str]:
    """The hidden fields of the start page's form."""
    inputs = elements(page, "input")
    return {str(i["name"]): str(i["value"]) for i in inputs if i.get("type") == "hidden"}


def send(client: FlaskClient, **fields: object) -> TestResponse:
    """Fill the form as a person does and press the button."""
    page = client.get("/").text
    data = {"preset": "auto", "text": "", "name": ""} | hidden_fields(page) | fields
    return client.post("/", data=data, content_type="multipart/form-data")


def refusal(response: TestResponse, field: str) -> str:
    """The message beside a field of a form that came back, tied to it for screen readers."""
    assert response.status_code == 422, response.text
    (box,) = [
        attrs
        for tag in ("input", "textarea", "select")
        for attrs in elements(response.text, tag)
        if attrs.get("name") == field and attrs.get("type") != "radio"
    ]
    assert box.get("aria-invalid") == "true"
    described = str(box["aria-describedby"]).split()[0]
    found = re.search(rf'id="{described}"[^>]*>(?:<span class="message">)?([^<]+)', response.text)
    assert found, response.text
    return unescape(found[1])


def kept_text(page: str) -> str:
    found = re.search(r"<textarea[^>]*>(.*?)</textarea>", page, re.DOTALL)
    assert found
    return unescape(found[1])


def job_of(response: TestResponse) -> str:
    assert response.status_code == 303, response.text
    return response.location.removeprefix("/jobs/")


def weight(client: FlaskClient, address: str) -> int:
    """Bytes of a page with what it names; modules that scripts import are not counted."""
    with client.get(address) as page:
        named = [attrs.get("href") or attrs.get("src") for _, attrs in Elements(page.text).found]
        total = len(page.data)
    for asset in {str(name) for name in named if str(name).startswith("/static/")}:
        with client.get(asset) as answer:
            total += len(answer.data)
    return total
