"""Weights from a stranger: what is accepted is exactly what can be loaded."""

import io
import json
import math
import struct
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st
from safetensors import SafetensorError
from safetensors.numpy import load

from lstmcore.errors import CheckpointError
from lstmcore.weights_file import LARGEST_HEADER_BYTES, check_weights

SHAPES = {"a": (2, 3), "b": (4,)}
TENSORS = {
    "a": {"dtype": "F32", "shape": [2, 3], "data_offsets": [0, 24]},
    "b": {"dtype": "F32", "shape": [4], "data_offsets": [24, 40]},
}
FLOATS = struct.pack("<10f", *range(10))


def file_of(header: Any, data: bytes = FLOATS, *, length: int | None = None) -> bytes:
    text = header if isinstance(header, bytes) else json.dumps(header).encode()
    return struct.pack("<Q", len(text) if length is None else length) + text + data


def check(data: bytes) -> None:
    check_weights(io.BytesIO(data), len(data), SHAPES)


def changed(name: str, **said: Any) -> bytes:
    return file_of(TENSORS | {name: TENSORS[name] | said})


def test_what_the_library_writes_is_accepted() -> None:
    check(file_of(TENSORS))
    check(file_of({"__metadata__": {"by": "us"}} | TENSORS))
    turned = {
        "a": TENSORS["a"] | {"data_offsets": [16, 40]},
        "b": TENSORS["b"] | {"data_offsets": [0, 16]},
    }
    check(file_of(turned))


LIES = {
    "empty": b"",
    "only a length": struct.pack("<Q", 8),
    "a length of nothing": struct.pack("<Q", 0) + FLOATS,
    "a length beyond the file": file_of(TENSORS, length=10**6),
    "a length of 2^63": file_of(TENSORS, length=2**63),
    "a header of a megabyte": file_of(b" " * (LARGEST_HEADER_BYTES + 1)),
    "no JSON": file_of(b"{"),
    "not UTF-8": file_of(b"\xff\xfe"),
    "a list": file_of([]),
    "deep": file_of(b"[" * 100_000 + b"]" * 100_000),
    "a key twice": file_of(b'{"a": 1, "a": 2}'),
    "metadata that is no text": file_of({"__metadata__": {"a": 1}} | TENSORS),
    "metadata that is a list": file_of({"__metadata__": []} | TENSORS),
    "no tensors": file_of({}),
    "a tensor too few": file_of({"a": TENSORS["a"]}),
    "a tensor too many": file_of(TENSORS | {"c": TENSORS["b"]}),
    "no object": file_of(TENSORS | {"a": 7}),
    "a member more": changed("a", device="cuda"),
    "another dtype": changed("a", dtype="F64"),
    "a dtype that is none": changed("a", dtype=["F32"]),
    "another shape": changed("a", shape=[3, 2]),
    "a huge shape": changed("a", shape=[2**62, 2**62]),
    "a negative shape": changed("a", shape=[-2, -3]),
    "a shape of floats": changed("a", shape="23"),
    "an overlap": changed("b", data_offsets=[20, 36]),
    "a gap": changed("b", data_offsets=[28, 44]),
    "negative offsets": changed("a", data_offsets=[-24, 0]),
    "offsets turned round": changed("a", data_offsets=[24, 0]),
    "offsets of booleans": changed("a", data_offsets=[False, 24]),
    "offsets of floats": changed("a", data_offsets=[0.0, 24.0]),
    "offsets beyond the file": changed("b", data_offsets=[2**60, 2**60 + 16]),
    "three offsets": changed("a", data_offsets=[0, 24, 24]),
    "bytes at the end": file_of(TENSORS, FLOATS + b"\0"),
    "bytes too few": file_of(TENSORS, FLOATS[:-1]),
}


@pytest.mark.parametrize("lie", LIES.values(), ids=LIES.keys())
def test_lies_are_refused(lie: bytes) -> None:
    with pytest.raises(CheckpointError):
        check(lie)


@given(st.lists(st.floats(width=32), min_size=10, max_size=10))
def test_exactly_finite_numbers_are_accepted(numbers: list[float]) -> None:
    data = file_of(TENSORS, struct.pack("<10f", *numbers))
    if all(map(math.isfinite, numbers)):
        check(data)
    else:
        with pytest.raises(CheckpointError, match="infinite"):
            check(data)


@given(st.integers(0, 300), st.binary(min_size=1, max_size=4))
def test_what_is_accepted_is_what_the_library_reads(place: int, noise: bytes) -> None:
    """Any few bytes changed: what passes here is loaded there, with these shapes."""
    data = bytearray(file_of(TENSORS))
    place %= len(data)
    data[place : place + len(noise)] = noise
    try:
        check(bytes(data))
    except CheckpointError:
        return
    try:
        tensors = load(bytes(data))
    except SafetensorError as error:
        pytest.fail(f"accepted here and refused there: {error}")
    assert {name: tensor.shape for name, tensor in tensors.items()} == SHAPES
