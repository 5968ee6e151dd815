"""What the start page shows of a text before it is sent."""

import io
import json
import re
from html import unescape

import pytest
from flask.testing import FlaskClient
from werkzeug.test import TestResponse

from tests.web.answers import TUTORIAL
from tests.web.html import elements, hidden_fields
from web.pages.preview import LARGEST_BODY, LOOKED_AT, LOOKS, MOST_LOOKS
from worker import datasets
from worker.backend import Backend

HOSTILE = "<script>alert(1)</script><img src=x onerror=alert(2)>"


def look(client: FlaskClient, **fields: object) -> TestResponse:
    token = hidden_fields(client.get("/").text)["csrf_token"]
    return client.post(
        "/preview",
        data={"preset": "auto", "text": ""} | fields,
        headers={"X-CSRF-Token": token},
        content_type="multipart/form-data",
    )


def body_of(response: TestResponse) -> dict[str, str | None]:
    assert response.status_code == 200, response.text
    return next(div for div in elements(response.text, "div") if div.get("id") == "preview-body")


def messages_of(response: TestResponse) -> dict[str, str]:
    found: dict[str, str] = json.loads(str(body_of(response)["data-messages"]))
    return found


def figures_of(response: TestResponse) -> dict[str, str]:
    return dict(re.findall(r"<dt>([^<]+)</dt><dd>([^<]+)</dd>", unescape(response.text)))


def test_the_lesson_is_seen_as_the_lesson(client: FlaskClient) -> None:
    seen = look(client, text=TUTORIAL, preset="tutorial")
    assert messages_of(seen) == {}
    figures = figures_of(seen)
    assert (figures["Lines"], figures["Tokens"], figures["Vocabulary"]) == ("3", "12", "10")
    assert body_of(seen)["data-suggested"] == "word"
    assert "Delhi" not in seen.text  # the lesson reads lower case
    assert ">delhi<" in seen.text


def test_nothing_is_seen_in_nothing(client: FlaskClient) -> None:
    seen = look(client, text=" \n ")
    assert messages_of(seen) == {}
    assert "figures" not in seen.text


def test_a_file_says_its_encoding_and_pairs_their_arrow(client: FlaskClient) -> None:
    data = "жил : был\r\nлюди : звёзды\r\n".encode("cp1251")
    seen = look(client, head=(io.BytesIO(data), "pairs.txt"), size=str(len(data)))
    assert "cp1251" in seen.text
    assert "CRLF" in seen.text
    assert figures_of(seen)["Pairs"] == "2"
    assert "→" in seen.text


def test_a_dataset_is_looked_at(client: FlaskClient, backend: Backend) -> None:
    text = datasets.create(backend, "local", name="t", data=b"the cat sat on the mat\n" * 900)
    seen = look(client, dataset=text.id, preset="word")
    assert figures_of(seen)["Lines"] == "900"
    assert messages_of(look(client, dataset="data-unknown")).keys() == {"dataset"}


@pytest.mark.parametrize(
    ("ending", "name"),
    [("é".encode()[:1], "cut.txt"), (b'cut,"in a row', "t.csv"), (b'{"text": "cu', "t.jsonl")],
)
def test_the_beginning_of_a_large_file_may_end_anywhere(
    client: FlaskClient, ending: bytes, name: str
) -> None:
    rows = {
        "cut.txt": "the café is open\n",
        "t.csv": "x,the cat sat\n",
        "t.jsonl": '{"text": "the cat sat"}\n',
    }[name]
    head = ("name,text\n" if name == "t.csv" else "").encode() + rows.encode() * 1000 + ending
    seen = look(client, head=(io.BytesIO(head), name), size=str(10 * len(head)))
    assert messages_of(seen) == {}
    assert 9_900 < int(figures_of(seen)["Lines"].replace(",", "")) < 10_100
    assert "scaled" in seen.text


def test_what_is_wrong_is_named_by_its_field(client: FlaskClient) -> None:
    seen = look(client, text=TUTORIAL * 9, preset="char", **{"model.layers": "many"})
    assert messages_of(seen).keys() == {"model.layers"}
    assert "Vocabulary" in seen.text, "the text is seen all the same"
    assert messages_of(look(client, text="two words", preset="tutorial")).keys() == {"preset"}
    binary = look(client, head=(io.BytesIO(b"\x00\x01" * 99), "a.bin"))
    assert messages_of(binary).keys() == {"file"}
    assert messages_of(look(client, text="a b", init_from="model-gone")).keys() == {"init_from"}


def test_the_split_and_the_estimate_follow_the_settings(client: FlaskClient) -> None:
    text = "the quick brown fox jumps over the lazy dog\n" * 50
    half = look(client, text=text, preset="word", **{"training.validation_fraction": "0.5"})
    learns, held = re.findall(r"(?:from|on) ([\d,]+) (?:tokens|it)", half.text)
    assert learns == held
    small, large = (
        figures_of(look(client, text=text, preset="word", **{"model.hidden_dim": size}))
        for size in ("16", "1600")
    )
    assert small["Parameters"] != large["Parameters"]
    too_large = look(client, text=text, **{"model.hidden_dim": "4096", "model.layers": "8"})
    assert "more memory" in too_large.text


def test_texts_are_shown_as_text(client: FlaskClient) -> None:
    seen = look(client, text=f"{HOSTILE} words שלום 😀\n" * 3, preset="word")
    assert "<script>" not in seen.text
    assert "<img" not in seen.text
    assert 'dir="auto"' in seen.text


def test_a_look_needs_the_token_of_its_form_and_is_bounded(client: FlaskClient) -> None:
    assert client.post("/preview", data={"text": "a b"}).status_code == 403
    token = {"X-CSRF-Token": hidden_fields(client.get("/").text)["csrf_token"]}
    assert client.post("/preview", data=b"x" * (LARGEST_BODY + 1), headers=token).status_code == 413
    long = look(client, text="word " * (LOOKED_AT // 5), size=str(LOOKED_AT * 4))
    assert "scaled" in long.text
    looks = client.application.extensions[LOOKS]
    for _ in range(MOST_LOOKS):
        looks.acquire()
    busy = look(client, text="a b")
    assert (busy.status_code, busy.headers["Retry-After"]) == (503, "2")
    for _ in range(MOST_LOOKS):
        looks.release()
    assert look(client, text="a b").status_code == 200
