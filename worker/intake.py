"""Reads texts as they are given to us; large ones in a process of their own.

A short text costs nothing. A hundred megabytes of short lines take gigabytes and minutes: in the
web server's process that memory would be gone for good, and everybody else would wait. So a large
text stays in its spool file and is read by `python -m worker.intake`, which has so much memory and
time and no more, and few of which run at once.
"""

import json
import os
import resource
import subprocess
import sys
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import asdict, dataclass
from pathlib import Path
from threading import BoundedSemaphore
from typing import IO, Any

from lstmcore.corpus import Layout, ReadCorpus, read_corpus, summarize
from lstmcore.errors import CorpusError
from worker.errors import Unavailable

SMALL_BYTES = 1024 * 1024
LONGEST_SECONDS = 300.0
READERS = 2
TURN_SECONDS = 30.0  # that a large text waits for others to be read
BUFFER_BYTES = 1024 * 1024
CORPUS = "corpus"  # the file the reader leaves behind
TOO_LARGE = (
    "this text takes more memory to read than is allowed here (LSTMQ_MAX_READING_BYTES): "
    "send it in parts"
)
TOO_SLOW = f"this text took longer than {LONGEST_SECONDS:g} seconds to read: send it in parts"

_turns = BoundedSemaphore(READERS)


@dataclass(frozen=True)
class Reading:
    """A text in its canonical form, and what was found in it."""

    layout: Layout
    content: bytes | Path  # of the corpus
    size: int
    report: dict[str, Any]  # with the summary that defaults are chosen from


@dataclass(frozen=True)
class Wanted:
    """What its sender says of a text."""

    filename: str | None = None
    encoding: str | None = None
    layout: Layout | None = None


@contextmanager
def read(source: bytes | IO[bytes], wanted: Wanted, most_memory_bytes: int) -> Iterator[Reading]:
    """Read a text from its beginning; a file it is in lasts as long as the block.

    Raises lstmcore's CorpusError, and Unavailable when too many large ones are being read.
    """
    size = len(source) if isinstance(source, bytes) else source.seek(0, os.SEEK_END)
    if size <= SMALL_BYTES:
        if not isinstance(source, bytes):
            source.seek(0)
            source = source.read()
        found = _read(source, wanted)
        content = found.corpus.to_bytes()
        yield Reading(found.corpus.layout, content, len(content), _report(found))
        return
    if not _turns.acquire(timeout=TURN_SECONDS):
        raise Unavailable("too many large texts are being read: send it again in a moment", 10)
    try:
        with tempfile.TemporaryDirectory(prefix="lstmq-reading-") as folder:
            yield _read_apart(source, wanted, Path(folder), most_memory_bytes)
    finally:
        _turns.release()


def _read_apart(
    source: bytes | IO[bytes], wanted: Wanted, folder: Path, most_memory_bytes: int
) -> Reading:
    with tempfile.TemporaryFile() as file:
        if isinstance(source, bytes):
            file.write(source)
        else:
            source.seek(0)
            while chunk := source.read(BUFFER_BYTES):
                file.write(chunk)
        file.seek(0)
        options = json.dumps(asdict(wanted) | {"most_memory_bytes": most_memory_bytes})
        command = [sys.executable, "-m", "worker.intake", options, str(folder)]
        try:
            done = subprocess.run(  # noqa: S603 - ourselves
                command, stdin=file, stdout=subprocess.PIPE, timeout=LONGEST_SECONDS, check=False
            )
        except subprocess.TimeoutExpired:
            raise CorpusError(TOO_SLOW) from None
    try:
        answer = json.loads(done.stdout)
    except ValueError:
        # It died without a word: the system has taken its memory away.
        raise CorpusError(TOO_LARGE) from None
    if "error" in answer:
        raise CorpusError(answer["error"], answer["line"])
    content = folder / CORPUS
    return Reading(answer["layout"], content, content.stat().st_size, answer["report"])


def _read(data: bytes, wanted: Wanted) -> ReadCorpus:
    return read_corpus(data, wanted.filename, encoding=wanted.encoding, layout=wanted.layout)


def _report(found: ReadCorpus) -> dict[str, Any]:
    return found.report | {"summary": asdict(summarize(found.corpus))}


def main() -> int:
    """The reader: a text on standard input, its corpus into the folder, the rest as JSON."""
    options, folder = json.loads(sys.argv[1]), Path(sys.argv[2])
    most = options.pop("most_memory_bytes")
    resource.setrlimit(resource.RLIMIT_AS, (most, most))
    resource.setrlimit(resource.RLIMIT_CORE, (0, 0))
    os.nice(5)  # whoever waits for a page or an answer comes first
    try:
        answer = _leave_behind(sys.stdin.buffer.read(), Wanted(**options), folder / CORPUS)
    except CorpusError as error:
        answer = {"error": str(error), "line": error.line}
    except MemoryError:
        answer = {"error": TOO_LARGE, "line": None}
    sys.stdout.write(json.dumps(answer))
    return 0


def _leave_behind(data: bytes, wanted: Wanted, target: Path) -> dict[str, Any]:
    found = _read(data, wanted)
    report, layout = _report(found), found.corpus.layout
    target.write_bytes(found.corpus.to_bytes())
    return {"layout": layout, "report": report}


if __name__ == "__main__":
    sys.exit(main())
