"""A corpus as one array of token ids: made in parallel, in memory or in a file, kept for next time.

A cache is a folder with a folder for each corpus and tokenizer, named by their fingerprints: `ids`
(the smallest whole numbers that fit), `lengths` (tokens of each document, 4 bytes each) and
`about.json`; beside them lie tokenizers. All of it may be deleted at any time; what is damaged is
made again.
"""

import hashlib
import json
import os
import shutil
import tempfile
import zlib
from array import array
from collections import deque
from collections.abc import Iterator
from concurrent.futures import Future, ThreadPoolExecutor
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path
from typing import IO, Any

import numpy as np

from lstmcore.corpus import Corpus, TextSource
from lstmcore.pipelines import Piece, cleaner
from lstmcore.tokenizer import Tokenizer, batches_of_pieces
from lstmcore.vocabulary import checked

FORMAT_VERSION = 1
CODE_POINTS = 0x110000
WORKERS = 2  # batches in work: while one is encoded, the ids of another become an array
READ_BYTES = 1 << 22
Array = np.ndarray[Any, Any]


@dataclass(frozen=True)
class Ids:
    """The tokens of all documents one after the other, each document with its `<eos>`."""

    values: Array  # (N,) unsigned whole numbers; may be mapped from a file
    lengths: Array  # (D,) int32: tokens of each document, its `<eos>` included


@dataclass(frozen=True)
class Fingerprint:
    """What tells a corpus from others: a training goes on with the same one only."""

    sha256: str  # of the layout and the canonical text
    nbytes: int  # of the canonical text

    @classmethod
    def of(cls, corpus: TextSource) -> "Fingerprint":
        """Read the corpus once."""
        digest, size = hashlib.sha256(f"{corpus.layout}\n".encode()), 0
        for part in corpus.canonical():
            digest.update(part)
            size += len(part)
        return cls(digest.hexdigest(), size)


def encode_corpus(
    corpus: TextSource,
    tokenizer: Tokenizer,
    *,
    cache: Path | None = None,
    fingerprint: Fingerprint | None = None,
) -> Ids:
    """The ids of a text or of lines; documents without a token are left out.

    With a `cache` folder they are mapped from there, and made only if they are not there yet;
    `fingerprint` is the corpus's, where it is known already. Without one, the ids of a
    `CorpusFile` lie in a nameless temporary file. Raises TokenizerError.
    """
    if cache is not None:
        text = (fingerprint or Fingerprint.of(corpus)).sha256
        key = f"{text[:40]}-{hashlib.sha256(tokenizer.to_json().encode()).hexdigest()[:24]}"
        with suppress(OSError):  # a full or read-only disk: it goes without
            return _from_cache(cache / key, tokenizer) or _to_cache(cache / key, corpus, tokenizer)
    if isinstance(corpus, Corpus):
        lengths: array[int] = array("i")
        parts = list(_encoded(corpus, tokenizer, lengths))
        return Ids(np.concatenate(parts or [np.empty(0, _dtype(tokenizer))]), _array(lengths))
    with tempfile.TemporaryFile() as file:
        lengths = array("i")
        count, _ = _write(file, _encoded(corpus, tokenizer, lengths))
        return Ids(_mapped(file, _dtype(tokenizer), count), _array(lengths))


def trim_cache(cache: Path, most_bytes: int) -> None:
    """Remove what was used longest ago until the folder holds no more than `most_bytes`."""
    with suppress(OSError):
        found = []
        for each in cache.iterdir():
            files = [file for file in (each, *each.rglob("*")) if file.is_file()]
            used = max((file.stat().st_mtime for file in files), default=0.0)
            found.append((used, each, sum(file.stat().st_size for file in files)))
        total = sum(size for *_, size in found)
        for _, each, size in sorted(found):
            if total <= most_bytes:
                break
            if each.is_dir():
                shutil.rmtree(each, ignore_errors=True)
            else:
                each.unlink()
            total -= size


def _dtype(tokenizer: Tokenizer) -> "np.dtype[Any]":
    return np.dtype(np.min_scalar_type(tokenizer.vocabulary_size - 1).newbyteorder("<"))


def _array(lengths: "array[int]") -> Array:
    return np.frombuffer(lengths, np.int32) if lengths else np.empty(0, np.int32)


def _mapped(file: IO[bytes] | Path, dtype: "np.dtype[Any]", count: int) -> Array:
    # an empty file cannot be mapped
    return np.memmap(file, dtype, "r", shape=(count,)) if count else np.empty(0, dtype)


# --- encoding


def _encoded(corpus: TextSource, tokenizer: Tokenizer, lengths: "array[int]") -> Iterator[Array]:
    """Ids of the whole corpus, part by part; `lengths` grows with each document that ends."""
    dtype, eos, open_tokens = _dtype(tokenizer), tokenizer.eos_id, 0
    for ids, ends in _in_parallel(corpus, tokenizer):
        sizes = np.diff(ends, prepend=0)  # tokens of each document in this part
        if len(sizes):
            sizes[0] += open_tokens
            open_tokens = len(ids) - int(ends[-1])
        else:
            open_tokens += len(ids)
        filled = sizes > 0
        lengths.frombytes((sizes[filled] + 1).astype(np.int32).tobytes())
        yield np.insert(ids, ends[filled], eos).astype(dtype)


def _in_parallel(corpus: TextSource, tokenizer: Tokenizer) -> Iterator[tuple[Array, Array]]:
    """(ids, where in them documents end) of one batch of pieces after the other."""
    encode = _character_encoder(tokenizer) if tokenizer.kind.level == "char" else None
    waiting: deque[Future[tuple[Array, Array]]] = deque()
    with ThreadPoolExecutor(WORKERS) as pool:
        for batch in batches_of_pieces(corpus.texts(), tokenizer.kind):
            waiting.append(pool.submit(encode or _encode_batch, tokenizer, batch))
            if len(waiting) > WORKERS:
                yield waiting.popleft().result()
        while waiting:
            yield waiting.popleft().result()


def _encode_batch(tokenizer: Tokenizer, batch: list[tuple[Piece, bool]]) -> tuple[Array, Array]:
    ids: array[int] = array("i")
    ends = []
    encodings = tokenizer.encode_pieces([piece for piece, _ in batch])
    for (_, is_last), encoded in zip(batch, encodings, strict=True):
        ids.extend(encoded)
        if is_last:
            ends.append(len(ids))
    return _array(ids), np.array(ends, np.int64)


def _character_encoder(tokenizer: Tokenizer) -> Any:
    """Characters need no library: their code points are looked up in a table."""
    table = np.full(CODE_POINTS, tokenizer.unk_id, np.int32)
    for character, index in tokenizer.character_ids().items():
        if len(character) == 1:
            table[ord(character)] = index
    cleaning = cleaner(tokenizer.kind)

    def encode(_: Tokenizer, batch: list[tuple[Piece, bool]]) -> tuple[Array, Array]:
        cleaned = [checked(piece.text) for piece, _ in batch]
        if cleaning is not None:
            cleaned = [cleaning.normalize_str(text) for text in cleaned]
        points = np.frombuffer("".join(cleaned).encode("utf-32-le"), "<u4")
        stops = np.cumsum([len(text) for text in cleaned], dtype=np.int64)
        last = np.array([is_last for _, is_last in batch], bool)
        return table[points], stops[last]

    return encode


# --- the cache


def _write(file: IO[bytes], parts: Iterator[Array]) -> tuple[int, int]:
    """Write ids; return their number and the checksum of the bytes."""
    count = checksum = 0
    for part in parts:
        data = part.tobytes()
        file.write(data)
        count, checksum = count + len(part), zlib.crc32(data, checksum)
    file.flush()
    return count, checksum


def _to_cache(folder: Path, corpus: TextSource, tokenizer: Tokenizer) -> Ids:
    folder.parent.mkdir(parents=True, exist_ok=True)
    unfinished = Path(tempfile.mkdtemp(prefix=f"{folder.name}.", suffix=".tmp", dir=folder.parent))
    try:
        lengths: array[int] = array("i")
        with (unfinished / "ids").open("wb") as file:
            count, checksum = _write(file, _encoded(corpus, tokenizer, lengths))
        (unfinished / "lengths").write_bytes(_array(lengths).astype("<i4").tobytes())
        checksum = zlib.crc32((unfinished / "lengths").read_bytes(), checksum)
        about = {
            "format_version": FORMAT_VERSION,
            "bytes_a_token": _dtype(tokenizer).itemsize,
            "tokens": count,
            "documents": len(lengths),
            "crc32": checksum,
        }
        (unfinished / "about.json").write_text(json.dumps(about))
        with suppress(OSError):  # somebody else was faster: theirs is the same
            unfinished.rename(folder)
    finally:
        shutil.rmtree(unfinished, ignore_errors=True)
    ids = _from_cache(folder, tokenizer)
    if ids is None:
        raise OSError(f"{folder} was lost again")
    return ids


def _from_cache(folder: Path, tokenizer: Tokenizer) -> Ids | None:
    """What is in the cache; None, and nothing left of it, when that is not whole."""
    if not folder.exists():
        return None
    try:
        about = json.loads((folder / "about.json").read_text())
        dtype, checksum = _dtype(tokenizer), 0
        for name in ("ids", "lengths"):
            with (folder / name).open("rb") as file:
                while data := file.read(READ_BYTES):
                    checksum = zlib.crc32(data, checksum)
        expected = (FORMAT_VERSION, dtype.itemsize, checksum)
        if (about["format_version"], about["bytes_a_token"], about["crc32"]) == expected:
            os.utime(folder / "about.json")
            return Ids(
                _mapped(folder / "ids", dtype, int(about["tokens"])),
                np.fromfile(folder / "lengths", "<i4"),
            )
    except (OSError, ValueError, KeyError, TypeError):
        pass
    shutil.rmtree(folder, ignore_errors=True)
    return None
