"""Models over HTTP: found by id or name, renamed, downloaded, imported, or refused."""

import io
import zipfile
from typing import Any

import pytest
from flask.testing import FlaskClient

from tests.web.answers import import_model, problem_of, refused_fields
from web.archive import LARGEST_DIRECTORY_BYTES, pack
from worker import models as contract
from worker.backend import Backend
from worker.records import Model
from worker.settings import Settings

URL = "/api/v1/models"


def zip_of(files: dict[str, bytes], method: int = zipfile.ZIP_DEFLATED) -> bytes:
    out = io.BytesIO()
    with zipfile.ZipFile(out, "w", method) as archive:
        for name, data in files.items():
            archive.writestr(name, data)
    return out.getvalue()


def send(client: FlaskClient, data: bytes, filename: str = "copy.zip", **fields: str) -> Any:
    return client.post(URL, data={"file": (io.BytesIO(data), filename), **fields})


def test_a_model_is_found_by_id_and_by_name(client: FlaskClient, model: Model) -> None:
    found = client.get(f"{URL}/{model.id}").json
    assert found == client.get(f"{URL}/lessons/first").json
    assert found == client.get(f"{URL}/lessons%2Ffirst").json
    assert (found["object"], found["name"], found["owner"]) == ("model", "lessons/first", "local")
    assert {file["name"] for file in found["files"]} == set(contract.FILES)
    assert client.get(found["links"]["self"]).json == found
    assert [item["id"] for item in client.get(f"{URL}?name=FIRST").json["data"]] == [model.id]


def test_renaming(client: FlaskClient, model: Model, backend: Backend) -> None:
    renamed = client.patch(f"{URL}/lessons/first", json={"name": "a/b/c"})
    assert (renamed.status_code, renamed.json["name"]) == (200, "a/b/c")
    assert client.get(f"{URL}/a/b/c").json["id"] == model.id
    problem_of(client.get(f"{URL}/lessons/first"), 404)
    files = {name: contract.read_bytes(backend, model, name) for name in model.files}
    import_model(backend, "local", "taken", files)
    assert refused_fields(client.patch(f"{URL}/{model.id}", json={"name": "taken"})) == [["name"]]


@pytest.mark.parametrize(
    ("body", "loc"),
    [
        ({}, ["name"]),
        ({"name": ""}, ["name"]),
        ({"name": "x" * 1000}, ["name"]),
        ({"name": "a\0"}, ["name"]),
        ({"name": 1}, ["name"]),
        ({"name": "a", "owner": "eve"}, ["owner"]),
    ],
)
def test_a_wrong_change_is_refused(
    client: FlaskClient, model: Model, body: dict[str, Any], loc: list[str]
) -> None:
    assert refused_fields(client.patch(f"{URL}/{model.id}", json=body)) == [loc]


def test_a_model_a_job_needs_stays(client: FlaskClient, model: Model) -> None:
    job = client.post(
        "/api/v1/jobs", json={"kind": "predict", "model": model.id, "prompt": "what"}
    ).json
    assert problem_of(client.delete(f"{URL}/{model.id}"), 409)["state"]
    client.post(f"/api/v1/jobs/{job['id']}/cancel")
    assert client.delete(f"{URL}/{model.id}").status_code == 204
    problem_of(client.delete(f"{URL}/{model.id}"), 404)


def test_an_unknown_model_is_404_everywhere(client: FlaskClient) -> None:
    for reference in ("model-1", "a/b", "..%2f..%2fetc/passwd", "%00", "x" * 2000):
        address = f"{URL}/{reference}"
        problem_of(client.get(address), 404)
        problem_of(client.delete(address), 404)
        problem_of(client.get(f"{address}/download"), 404)
        problem_of(client.patch(address, json={"name": "a"}), 404)
        problem_of(client.post(f"{address}/predict", json={"prompt": "a"}), 404)


def test_a_download_is_the_folder_and_imports_as_the_same_model(
    client: FlaskClient, model: Model, model_files: dict[str, bytes]
) -> None:
    response = client.get(f"{URL}/lessons/first/download")
    assert (response.status_code, response.mimetype) == (200, "application/zip")
    assert response.headers["Content-Disposition"] == "attachment; filename=lessons_first.zip"
    with zipfile.ZipFile(io.BytesIO(response.data)) as archive:
        assert {name: archive.read(name) for name in archive.namelist()} == model_files
    copy = send(client, response.data, name="copy")
    assert copy.status_code == 201
    assert client.get(copy.headers["Location"]).json == copy.json
    assert (copy.json["name"], copy.json["job"]) == ("copy", None)
    assert {file["name"]: file["sha256"] for file in copy.json["files"]} == {
        name: file.sha256 for name, file in model.files.items()
    }
    again = send(client, response.data, "../other.zip")
    assert again.json["name"] == "other"


def test_a_name_in_any_script_makes_a_header(client: FlaskClient, model: Model) -> None:
    client.patch(f"{URL}/{model.id}", json={"name": 'Fünf "Ähren" 麦'})
    disposition = client.get(f"{URL}/{model.id}/download").headers["Content-Disposition"]
    assert disposition.isascii()
    assert disposition.startswith("attachment; filename=")
    assert "filename*=UTF-8''F%C3%BCnf%20_%C3%84hren_%20%E9%BA%A6.zip" in disposition


def test_packing_keeps_only_a_piece_in_memory() -> None:
    chunk = bytes(range(256)) * 4096
    pieces = [len(piece) for piece in pack([("big", (chunk for _ in range(50)))], 0.0)]
    assert max(pieces) < 2 * len(chunk)


def test_a_missing_file_is_an_error_and_not_half_an_archive(
    client: FlaskClient, backend: Backend, model: Model
) -> None:
    backend.store.delete(*model.files.values())
    detail = problem_of(client.get(f"{URL}/{model.id}/download"), 500)["detail"]
    assert model.id not in detail


def hostile_archives(files: dict[str, bytes]) -> dict[str, bytes]:
    """Archives that are not a model's, each a different trick."""
    good = zip_of(files)
    doubled = io.BytesIO(good)
    with zipfile.ZipFile(doubled, "a") as archive, pytest.warns(UserWarning, match="Duplicate"):
        archive.writestr("config.json", b"{}")
    comment = io.BytesIO(good)
    with zipfile.ZipFile(comment, "a") as archive:
        archive.comment = b"hello"
    weights, rest = "model.safetensors", {**files}
    del rest[weights]
    flipped = bytearray(good)
    flipped[len(good) // 3] ^= 0xFF
    encrypted = bytearray(good)
    directory = good.index(b"PK\x01\x02")
    encrypted[directory + 8] |= 1
    liar = bytearray(zip_of({**files, weights: bytes(50_000_000)}))
    directory = liar.index(b"PK\x01\x02")
    liar[directory + 24 : directory + 28] = (1000).to_bytes(4, "little")
    # The directory seems to lie so far back that entries begin before the file: seek() fails.
    early = bytearray(good)
    end = early.rindex(b"PK\x05\x06")
    early[end + 16 : end + 20] = (0x7FFFFFFF).to_bytes(4, "little")
    return {
        "nothing": b"",
        "text": b"not a zip file at all",
        "end record only": b"PK\x05\x06" + bytes(18),
        "end record that points nowhere": b"PK\x05\x06" + b"\xff" * 16 + bytes(2),
        "cut": good[: len(good) // 2],
        "without a file": zip_of(rest),
        "one more file": zip_of(files | {"evil.py": b"boom"}),
        "path upwards": zip_of(rest | {f"../{weights}": files[weights]}),
        "absolute path": zip_of(rest | {f"/{weights}": files[weights]}),
        "in a folder": zip_of({f"model/{name}": data for name, data in files.items()}),
        "name twice": doubled.getvalue(),
        "comment": comment.getvalue(),
        "flipped byte": bytes(flipped),
        "encrypted": bytes(encrypted),
        "lzma": zip_of(files, zipfile.ZIP_LZMA),
        "many entries": zip_of({f"{number}": b"" for number in range(2000)}),
        "bomb": zip_of(rest | {weights: bytes(50_000_000)}),
        "bomb that lies about its size": bytes(liar),
        "an entry before the file": bytes(early),
        "other weights": zip_of(files | {weights: b"hello"}),
        "weights that are not finite": zip_of(
            files | {weights: files[weights][:-4] + b"\xff\xff\xff\x7f"}
        ),
        "a tokenizer with another expression": zip_of(
            files | {"tokenizer.json": files["tokenizer.json"].replace(b"a-z", b"(a+)+z")}
        ),
        "a tokenizer that is none": zip_of(files | {"tokenizer.json": b"[]"}),
        "a vocabulary of another size": zip_of(
            files | {"config.json": files["config.json"].replace(b'size": 1', b'size": 7')}
        ),
        "a card that is no text": zip_of(files | {"README.md": b"\xff"}),
        "broken config": zip_of(files | {"config.json": b"{"}),
        "deep config": zip_of(files | {"config.json": b"[" * 100_000}),
        "other config": zip_of(files | {"config.json": b'{"format": "another"}'}),
    }


def test_hostile_archives_are_refused_and_leave_nothing(
    settings: Settings, model_files: dict[str, bytes]
) -> None:
    from web import create_app  # noqa: PLC0415

    app = create_app(settings.model_copy(update={"max_upload_bytes": 1_000_000}))
    client = app.test_client()
    for trick, data in hostile_archives(model_files).items():
        problem = problem_of(send(client, data), 422)
        assert problem["detail"], trick
    assert client.get(URL).json["data"] == []
    assert send(client, zip_of(model_files)).status_code == 201
    app.extensions["lstmq"].close()


def test_the_directory_of_an_archive_is_bounded_before_it_is_read() -> None:
    # Four names in UTF-8 with their fields are far below the bound, a thousand entries above it.
    assert len(zip_of(dict.fromkeys(contract.FILES, b""))) < LARGEST_DIRECTORY_BYTES
    assert len(zip_of({f"{number}": b"" for number in range(1000)})) > LARGEST_DIRECTORY_BYTES


def test_an_import_needs_one_file_in_a_form(client: FlaskClient) -> None:
    problem_of(client.post(URL, json={"name": "x"}), 415)
    problem_of(client.post(URL, data=b"PK", content_type="application/zip"), 415)
    empty = client.post(URL, data={"name": "x"}, content_type="multipart/form-data")
    assert refused_fields(empty) == [["file"]]
    assert refused_fields(send(client, b"PK", colour="red")) == [["colour"]]


@pytest.mark.parametrize("query", ["limit=0", "after=model-1", "state=queued"])
def test_a_wrong_query_is_refused(client: FlaskClient, query: str) -> None:
    assert refused_fields(client.get(f"{URL}?{query}")) == [[query.partition("=")[0]]]
