"""Whatever is uploaded is stored or refused with a reason, and never a fault of ours."""

import io
import zipfile

import pytest
from flask.testing import FlaskClient
from hypothesis import HealthCheck, example, given, settings
from hypothesis import strategies as st

from worker.models import FILES

pytestmark = pytest.mark.slow  # `make test-hostile` runs them

ENCODINGS = (
    *("utf-8", "utf-8-sig", "utf-16", "utf-16-le", "utf-16-be", "utf-32", "gb18030", "big5"),
    *("shift_jis", "euc_jp", "euc_kr", "cp1251", "cp1252", "koi8_r"),
)
ENDINGS = ("txt", "csv", "tsv", "jsonl", "json", "md", "bin", "")
NEWLINES = ("\n", "\r\n", "\r", "\n\r", "\u2028", "\x85", "\0")
# Letters of every named encoding, what formats are made of, and what has no place in a text.
ALPHABET = st.sampled_from("ab ,;:\t\"'{}[]\\éßжяФあ漢語한국😀\0\x1a\x7f\ufeff\ud7ff")

lines = st.lists(st.text(ALPHABET, max_size=30), max_size=12)
encoded = st.builds(
    lambda parts, newline, encoding: newline.join(parts).encode(encoding, "replace"),
    lines,
    st.sampled_from(NEWLINES),
    st.sampled_from(ENCODINGS),
)
cut = st.builds(lambda data, end: data[:end], encoded, st.integers(0, 200))
contents = st.one_of(st.binary(max_size=400), encoded, cut)
in_app = settings(suppress_health_check=[HealthCheck.function_scoped_fixture], deadline=None)


@in_app
@given(contents, st.sampled_from(ENDINGS), st.sampled_from(("", *ENCODINGS, "utf-7", "zip", "\0")))
@example(b"a\rb\rc", "txt", "")
@example(b"\r" * 300, "txt", "")
@example(b'\r\r\r{"text": 1}\r', "jsonl", "")
@example(b"a\0b\0\0c\n", "txt", "")
@example("a,b\rc,d\r".encode("utf-16"), "csv", "")
@example(b"\0" * 100, "csv", "")
@example(b'{"text": "\\ud800"}\n', "jsonl", "")
@example(b'"' * 300, "csv", "")
def test_no_file_is_a_fault(client: FlaskClient, data: bytes, ending: str, encoding: str) -> None:
    for url, more in (("/api/v1/datasets", {}), ("/v1/files", {"purpose": "fine-tune"})):
        sent = {"file": (io.BytesIO(data), f"name.{ending}"), "encoding": encoding, **more}
        answer = client.post(url, data=sent)
        assert answer.status_code in (200, 201, 400, 422), answer.text
        if answer.status_code in (200, 201):
            identifier = answer.json["id"]
            if url.startswith("/api"):
                assert answer.json["report"]["characters"] > 0
                assert client.get(f"{url}/{identifier}/preview").status_code == 200
            client.delete(f"{url}/{identifier}")
        else:
            assert answer.json.get("detail") or answer.json["error"]["message"]


@in_app
@given(st.binary(max_size=300), st.sampled_from(("multipart/form-data; boundary=x", "text/csv")))
@example(b"--x\r\n", "multipart/form-data; boundary=x")
@example(b'--x\r\nContent-Disposition: form-data; name="file"; filename="a"\r\n\r\nab', "a/b")
@example(b"--x--", "multipart/form-data")
@example(b"", "multipart/form-data; boundary=")
def test_no_body_is_a_fault(client: FlaskClient, data: bytes, kind: str) -> None:
    for url in ("/api/v1/datasets", "/api/v1/models", "/v1/files", "/", "/preview", "/sign-in"):
        status = client.post(url, data=data, content_type=kind).status_code
        assert 400 <= status < 500 or status == 303, (url, status)


@in_app
@given(st.binary(max_size=60), st.integers(0, 2000), st.sampled_from(FILES))
def test_no_archive_is_a_fault(
    client: FlaskClient, model_files: dict[str, bytes], noise: bytes, place: int, member: str
) -> None:
    """Bytes changed in a member before it is packed, and in the archive after."""
    changed = bytearray(model_files[member])
    place %= len(changed)
    changed[place : place + len(noise)] = noise
    out = io.BytesIO()
    with zipfile.ZipFile(out, "w", zipfile.ZIP_DEFLATED) as archive:
        for name, data in (model_files | {member: bytes(changed)}).items():
            archive.writestr(name, data)
    packed = bytearray(out.getvalue())
    packed[-place - len(noise) : -place or None] = noise
    for data in (out.getvalue(), bytes(packed)):
        answer = client.post("/api/v1/models", data={"file": (io.BytesIO(data), "a.zip")})
        assert answer.status_code in (201, 422), answer.text
        if answer.status_code == 201:
            client.delete(f"/api/v1/models/{answer.json['id']}")
