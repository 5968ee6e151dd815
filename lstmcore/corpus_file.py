"""A corpus that stays in its file, for texts too large to hold in memory.

It gives its text block by block and is then what a `Corpus` of the same file is: the same tokens,
the same fingerprint, the same training. UTF-8 only, as running text or one document a line; pairs
and tables are read whole (`read_corpus`).
"""

from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

from lstmcore.corpus import LAYOUTS
from lstmcore.decoding import decode_text
from lstmcore.errors import CorpusError
from lstmcore.formats import Layout, find_format, plain_layout

BLOCK = 1 << 22  # characters read at a time
SAMPLE = 1 << 20  # bytes that decide about encoding, format and layout


@dataclass(frozen=True)
class CorpusFile:
    """A plain UTF-8 file, read again each time it is asked for."""

    path: Path
    layout: Layout  # "text" or "lines"

    @classmethod
    def open(cls, path: Path, *, layout: Layout | None = None) -> "CorpusFile":
        """Look at the file's beginning. Raises CorpusError for what has to be read whole."""
        if layout is not None and layout not in LAYOUTS:
            raise CorpusError(f"The layout {layout!r} is not known: use {', '.join(LAYOUTS)}.")
        with path.open("rb") as file:
            sample = file.read(SAMPLE)
            if file.read(1):  # the last line of the sample may end anywhere, in a character too
                sample = sample[: sample.rfind(b"\n") + 1] or sample[: SAMPLE // 2]
        decoded = decode_text(sample, "utf-8")
        if find_format(decoded.text, path.name) != "plain":
            raise CorpusError("Only plain text can stay in its file; read tables with read_corpus.")
        layout = layout or plain_layout(decoded.text.split("\n"))
        if layout == "pairs":
            raise CorpusError("Pairs cannot stay in their file; read them with read_corpus.")
        corpus = cls(path, layout)
        if not any(block.strip() for block in corpus.blocks()):
            raise CorpusError("The text is empty: give at least a few words.")
        return corpus

    def blocks(self) -> Iterator[str]:
        """The text in blocks, newlines as `\\n`. Raises CorpusError where it is not UTF-8 text."""
        try:
            with self.path.open(encoding="utf-8-sig", newline=None) as file:
                while block := file.read(BLOCK):
                    if "\0" in block:
                        raise CorpusError("This is not a text: it has zero bytes.")
                    yield block
        except UnicodeDecodeError:
            raise CorpusError(
                f"{self.path.name} is not UTF-8: convert it first, for example with iconv."
            ) from None

    def texts(self) -> Iterator[str | Iterator[str]]:
        """Every document: one of many blocks, or each line that is not blank."""
        if self.layout == "text":
            yield self.blocks()
        else:
            yield from self._lines()

    def canonical(self) -> Iterator[bytes]:
        """The bytes of `Corpus.to_bytes`, block by block."""
        if self.layout == "text":
            yield from map(str.encode, self.blocks())
            return
        before = ""
        for line in self._lines():
            yield f"{before}{line}".encode()
            before = "\n"

    def longest_line(self) -> int:
        """Characters of the longest line."""
        longest = length = 0
        for block in self.blocks():
            first, *others = block.split("\n")
            length += len(first)
            if others:
                longest = max(longest, length, *map(len, others))
                length = len(others[-1])
        return max(longest, length)

    def _lines(self) -> Iterator[str]:
        rest = ""
        for block in self.blocks():
            *whole, rest = (rest + block).split("\n")
            yield from (line for line in whole if line.strip())
        if rest.strip():
            yield rest
