"""Bytes to text: any common encoding and newline in, `str` with `\\n` out."""

import codecs
import re
from dataclasses import dataclass
from typing import Literal

from lstmcore.detection import likely_encodings
from lstmcore.errors import CorpusError

Newline = Literal["LF", "CRLF", "CR", "mixed", "none"]

_BOMS = (  # the longer first: UTF-32's begins like UTF-16's
    (codecs.BOM_UTF8, "utf-8"),
    (codecs.BOM_UTF32_LE, "utf-32-le"),
    (codecs.BOM_UTF32_BE, "utf-32-be"),
    (codecs.BOM_UTF16_LE, "utf-16-le"),
    (codecs.BOM_UTF16_BE, "utf-16-be"),
)
# What people call the files they cannot paste; the first bytes tell.
_NOT_TEXT = (
    (b"%PDF-", "a PDF file"),
    (b"PK\x03\x04", "a ZIP or Office file"),
    (b"\x1f\x8b", "a compressed file"),
    (b"\x89PNG", "a picture"),
    (b"\xff\xd8\xff", "a picture"),
    (b"GIF8", "a picture"),
    (b"\xd0\xcf\x11\xe0", "an old Office file"),
    (b"SQLite format 3", "a database"),
)
# Names Python knows that are no character sets, or that take quadratic time.
_REFUSED = {"idna", "punycode", "unicode_escape", "raw_unicode_escape", "undefined", "utf_7"}
_SHOWN = {"cp932": "shift_jis", "cp949": "euc_kr", "euc_jp": "euc_jp"}
_SAMPLE = 1 << 15  # bytes that decide about an encoding
_CONTROL = re.compile(r"[\x01-\x08\x0e-\x1a\x1c-\x1f\x7f]")
_BEYOND_ASCII = re.compile(rb"[\x80-\xff]")
_NAME = re.compile(r"[A-Za-z0-9][A-Za-z0-9_.:\- ]{0,39}\Z")


@dataclass(frozen=True)
class Decoded:
    """A text and how its bytes were read."""

    text: str  # without byte order mark, newlines are \n
    encoding: str  # as Python names it
    newline: Newline  # what the bytes had


def decode_text(data: bytes, encoding: str | None = None) -> Decoded:
    """Decode bytes; without `encoding`: byte order mark, then UTF-8, then detection.

    Raises CorpusError for binary data, an unknown encoding, or bytes that do not fit it.
    """
    for magic, name in _NOT_TEXT:
        if data.startswith(magic):
            raise CorpusError(f"This is {name}, not a text: save it as plain text first.")
    if encoding is not None and encoding.strip():
        name = _known(encoding)
        text = _decoded(data, name)
    else:
        name, text = _detected(data)
    text = text.removeprefix("\ufeff")
    if "\0" in text or len(_CONTROL.findall(text, 0, _SAMPLE)) * 50 > min(len(text), _SAMPLE):
        raise CorpusError("This is not a text: it has the control codes of a binary file.")
    newline = _newline(text)
    if newline not in ("LF", "none"):
        text = text.replace("\r\n", "\n").replace("\r", "\n")
    return Decoded(text, _SHOWN.get(name, name), newline)


def _known(encoding: str) -> str:
    """The canonical name of an encoding somebody asked for."""
    wanted = encoding.strip()
    try:
        info = codecs.lookup(wanted) if _NAME.match(wanted) else None
    except (LookupError, ValueError):
        info = None
    # base64, zip and their like are codecs too, but none of text
    if (
        info is None
        or not getattr(info, "_is_text_encoding", True)
        or info.name.replace("-", "_") in _REFUSED
    ):
        raise CorpusError(
            f"The encoding {wanted[:40]!r} is not known: try utf-8, utf-16, gb18030, big5, "
            "shift_jis, euc_jp, euc_kr, cp1251, cp1252 or koi8_r."
        )
    return info.name


def _decoded(data: bytes, name: str) -> str:
    try:
        return data.decode(name)
    except UnicodeDecodeError as error:
        line = data.count(b"\n", 0, error.start) + 1
        raise CorpusError(f"Line {line} is not {name}: choose another encoding.", line) from None
    except UnicodeError:
        raise CorpusError(f"The text is not {name}: choose another encoding.") from None


def _detected(data: bytes) -> tuple[str, str]:
    for bom, name in _BOMS:
        if data.startswith(bom):
            return name, _decoded(data[len(bom) :], name)
    wide = _utf16_without_bom(data)
    if wide:
        return wide, _decoded(data, wide)
    if b"\0" in data:
        raise CorpusError("This is not a text: it has the zero bytes of a binary file.")
    try:
        return "utf-8", data.decode("utf-8")
    except UnicodeDecodeError:
        pass
    for name in likely_encodings(_telling_sample(data)):
        try:
            return name, data.decode(name)
        except UnicodeDecodeError:
            continue
    raise CorpusError("The encoding of this text cannot be told: name it, or save it as UTF-8.")


def _utf16_without_bom(data: bytes) -> str | None:
    """Latin letters in UTF-16 have a zero as every second byte."""
    head = data[: _SAMPLE & ~1]
    if len(head) < 4 or len(data) % 2:  # noqa: PLR2004 - two characters
        return None
    even, odd, half = head[0::2].count(0), head[1::2].count(0), len(head) // 2
    if odd * 3 > half and even * 100 < half:
        return "utf-16-le"
    if even * 3 > half and odd * 100 < half:
        return "utf-16-be"
    return None


def _telling_sample(data: bytes) -> bytes:
    """Whole lines that have bytes beyond ASCII, as many as are needed to tell an encoding."""
    lines: list[bytes] = []
    size = position = 0
    while size < _SAMPLE and (found := _BEYOND_ASCII.search(data, position)):
        start = max(data.rfind(b"\n", position, found.start()) + 1, position)
        end = data.find(b"\n", found.start(), found.start() + _SAMPLE)
        if end < 0:  # one long line: its first part will do
            lines.append(data[found.start() : found.start() + _SAMPLE])
            break
        lines.append(data[start:end])
        size += end - start + 1
        position = end
    return b"\n".join(lines)


def _newline(text: str) -> Newline:
    pairs = text.count("\r\n")
    returns = text.count("\r") - pairs
    feeds = text.count("\n") - pairs
    found: dict[Newline, int] = {"CRLF": pairs, "CR": returns, "LF": feeds}
    kinds = [kind for kind, count in found.items() if count]
    return "mixed" if len(kinds) > 1 else kinds[0] if kinds else "none"
