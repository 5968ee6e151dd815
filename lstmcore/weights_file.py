"""Looks at a file of weights from a stranger before anybody loads it; never imports torch.

A safetensors file is eight bytes of length, a JSON header and the tensors' bytes. Every word of the
header may be a lie: what is accepted is exactly the expected float32 tensors, one after the other,
filling the file to its last byte, and every number finite.
"""

import json
import math
from collections.abc import Mapping
from typing import IO, Any, NoReturn

from lstmcore.errors import CheckpointError
from lstmcore.model_record import WEIGHTS

LENGTH_BYTES = 8
# Some hundred bytes a tensor, and our largest networks have some hundred tensors.
LARGEST_HEADER_BYTES = 256 * 1024
FLOAT_BYTES = 4
CHUNK_BYTES = 4 * 1024 * 1024
METADATA = "__metadata__"
# The two highest bytes of a float32 tell whether it is finite: its exponent is not all ones.
_ALL_ONES = bytes(int(byte in (0x7F, 0xFF)) for byte in range(256))
_HIGH_BIT = bytes(byte >> 7 for byte in range(256))


def check_weights(file: IO[bytes], size: int, expected: Mapping[str, tuple[int, ...]]) -> None:
    """Read a file of `size` bytes from its beginning. Raises CheckpointError."""
    length = int.from_bytes(file.read(LENGTH_BYTES), "little")
    if size < LENGTH_BYTES or not 0 < length <= min(LARGEST_HEADER_BYTES, size - LENGTH_BYTES):
        _refuse("is no safetensors file, or its header is too long")
    header = _read_header(file.read(length))
    if header.keys() != expected.keys():
        odd = sorted(header.keys() ^ expected.keys())[0][:80]
        _refuse(f"does not hold the tensors its settings speak of: {odd!r}")
    spans = sorted(_check_tensor(name, header[name], shape) for name, shape in expected.items())
    end = 0
    for begins, ends in spans:
        if begins != end:
            _refuse("has tensors that overlap or leave gaps")
        end = ends
    if LENGTH_BYTES + length + end != size:
        _refuse("is longer or shorter than its header says")
    while chunk := file.read(CHUNK_BYTES):
        if _holds_infinity(chunk):
            _refuse("holds numbers that are infinite or none")


def _read_header(text: bytes) -> dict[str, Any]:
    try:
        header = json.loads(text.decode(), object_pairs_hook=_unique)
    except (ValueError, RecursionError):
        _refuse("has a header that cannot be read")
    if not isinstance(header, dict):
        _refuse("has a header that is no object")
    metadata = header.pop(METADATA, {})
    if not isinstance(metadata, dict) or not all(isinstance(v, str) for v in metadata.values()):
        _refuse("has metadata that is no text")
    return header


def _check_tensor(name: str, said: Any, shape: tuple[int, ...]) -> tuple[int, int]:
    """Where a tensor begins and ends."""
    if not isinstance(said, dict) or said.keys() != {"dtype", "shape", "data_offsets"}:
        _refuse(f"describes {name} in an unknown way")
    offsets = said["data_offsets"]
    # `is` int: True and 2.0 are equal to integers too
    plain = isinstance(offsets, list) and [type(offset) for offset in offsets] == [int, int]
    if said["dtype"] != "F32" or said["shape"] != list(shape) or not plain:
        _refuse(f"should hold {name} as float32 {list(shape)}")
    begins, ends = offsets
    if begins < 0 or ends - begins != FLOAT_BYTES * math.prod(shape):
        _refuse(f"gives {name} another size than its shape has")
    return begins, ends


def _holds_infinity(floats: bytes) -> bool:
    """Whether any little-endian float32 is infinite or no number; without numpy, at its speed."""
    high = floats[3::FLOAT_BYTES].translate(_ALL_ONES)
    low = floats[2::FLOAT_BYTES].translate(_HIGH_BIT)
    return bool(int.from_bytes(high, "little") & int.from_bytes(low, "little"))


def _unique(pairs: list[tuple[str, Any]]) -> dict[str, Any]:
    members = dict(pairs)
    if len(members) < len(pairs):
        raise ValueError("a key is there twice")
    return members


def _refuse(reason: str) -> NoReturn:
    raise CheckpointError(f"{WEIGHTS} {reason}.")
