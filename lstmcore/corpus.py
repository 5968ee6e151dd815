"""A corpus: the text a model learns from, as it is kept, and what the defaults need to know of it.

Uploaded bytes become text (`lstmcore.decoding`), text becomes rows (`lstmcore.formats`), and rows
become a `Corpus` in one of three layouts, kept as plain UTF-8.
"""

import json
import re
from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any, Protocol

from lstmcore.decoding import Decoded, decode_text
from lstmcore.errors import CorpusError
from lstmcore.formats import (
    SEPARATOR,
    Layout,
    Row,
    find_format,
    parse,
    plain_layout,
    split_pair,
)

__all__ = [
    "Corpus",
    "CorpusSummary",
    "Decoded",
    "Layout",
    "ReadCorpus",
    "TextSource",
    "decode_text",
    "read_corpus",
    "summarize",
]

LAYOUTS: tuple[Layout, ...] = ("text", "lines", "pairs")
CHUNK = 1 << 20  # characters looked at together
MOST_DISTINCT = 1_000_000  # words told apart; more say nothing new and take much memory
# Chinese, Japanese, Thai, Lao, Khmer, Burmese: scripts that put no space between words
_UNSPACED = re.compile("[\u0e00-\u0eff\u1000-\u109f\u1780-\u17ff\u3040-\u30ff\u3400-\u9fff]")
_SCRIPT_SAMPLE = 1 << 18


class TextSource(Protocol):
    """What a tokenizer, a training and the defaults need of a corpus, wherever its text is."""

    @property
    def layout(self) -> Layout:
        """Running text, one document a line, or pairs."""
        ...

    def texts(self) -> Iterator[str | Iterator[str]]:
        """Every text there is to learn from; a long one may come in blocks."""
        ...

    def canonical(self) -> Iterator[bytes]:
        """The canonical form as UTF-8, in parts."""
        ...

    def longest_line(self) -> int:
        """Characters of the longest line."""
        ...


@dataclass(frozen=True)
class Corpus:
    """A text in its canonical form."""

    layout: Layout
    documents: tuple[str, ...]  # text: one; lines: one a line; pairs: the prompts
    completions: tuple[str, ...] = ()  # pairs: one for each prompt

    def to_bytes(self) -> bytes:
        """UTF-8: the text, the lines, or JSON Lines of prompt and completion."""
        if self.layout != "pairs":
            return "\n".join(self.documents).encode()
        return "".join(
            json.dumps({"prompt": prompt, "completion": completion}, ensure_ascii=False) + "\n"
            for prompt, completion in zip(self.documents, self.completions, strict=True)
        ).encode()

    @classmethod
    def from_bytes(cls, layout: Layout, data: bytes) -> "Corpus":
        """Read what `to_bytes` wrote. Raises CorpusError for anything else."""
        try:
            text = data.decode()
            if layout == "pairs":
                rows = [json.loads(line) for line in text.split("\n") if line]
                return cls(
                    layout,
                    tuple(str(row["prompt"]) for row in rows),
                    tuple(str(row["completion"]) for row in rows),
                )
        except (ValueError, KeyError, TypeError, RecursionError):
            raise CorpusError("The stored text is damaged.") from None
        return cls(layout, tuple(text.split("\n")) if layout == "lines" else (text,))

    def lines(self) -> list[str]:
        """The lines people wrote, blank ones left out; a pair is `prompt : completion`."""
        if self.layout == "pairs":
            pairs = zip(self.documents, self.completions, strict=True)
            joined = (f"{prompt}{SEPARATOR}{completion}" for prompt, completion in pairs)
            return [" ".join(line.split("\n")) for line in joined]
        return [line for text in self.documents for line in text.split("\n") if line.strip()]

    def texts(self) -> Iterator[str]:
        """Every text there is to learn a vocabulary from."""
        yield from self.documents
        yield from self.completions

    def canonical(self) -> Iterator[bytes]:
        """What `to_bytes` gives, in one part."""
        yield self.to_bytes()

    def longest_line(self) -> int:
        """Characters of the longest line that people wrote."""
        return max(map(len, self.lines()), default=0)


@dataclass(frozen=True)
class CorpusSummary:
    """What the defaults are chosen from."""

    layout: Layout
    documents: int
    characters: int
    words: int  # between white space; characters where the script has no spaces
    distinct_words: int
    distinct_characters: int
    longest_line: int  # characters
    spaced: bool  # whether words are written with spaces between them


@dataclass(frozen=True)
class ReadCorpus:
    """A corpus and what was found while reading it."""

    corpus: Corpus
    report: dict[str, Any]  # encoding newline layout bytes characters lines documents …


def read_corpus(
    data: bytes,
    filename: str | None = None,
    *,
    encoding: str | None = None,
    layout: Layout | None = None,
) -> ReadCorpus:
    """Read an uploaded file or a pasted text, whatever its encoding and form.

    `encoding` and `layout` override what is found. Raises CorpusError that says what to do, with
    the line where there is one.
    """
    if layout is not None and layout not in LAYOUTS:
        raise CorpusError(
            f"The layout {str(layout)[:40]!r} is not known: use {', '.join(LAYOUTS)}."
        )
    decoded = decode_text(data, encoding)
    if not decoded.text.strip():
        raise CorpusError("The text is empty: give at least a few words.")
    kind = find_format(decoded.text, filename)
    lines = decoded.text.split("\n")
    notes: list[str] = []
    if kind == "plain":
        corpus = _from_plain(decoded.text, lines, layout)
    else:
        parsed = parse(decoded.text, kind)
        notes += parsed.notes
        corpus = _from_rows(parsed.rows, layout, notes)
    if not corpus.documents:
        raise CorpusError("The file has no row with text in it.")
    filled = corpus.lines()
    report = {
        "encoding": decoded.encoding,
        "newline": decoded.newline,
        "layout": corpus.layout,
        "format": kind,
        "bytes": len(data),
        "characters": sum(map(len, corpus.texts())),
        "lines": len(filled),
        "documents": len(corpus.documents),
        "duplicate_lines": len(filled) - len(set(filled)),
        "notes": notes,
    }
    return ReadCorpus(corpus, report)


def _from_plain(text: str, lines: list[str], layout: Layout | None) -> Corpus:
    layout = layout or plain_layout(lines)
    if layout == "text":
        return Corpus("text", (text,))
    if layout == "lines":
        return Corpus("lines", tuple(line for line in lines if line.strip()))
    pairs: list[tuple[str, str]] = []
    for number, line in enumerate(lines, start=1):
        if not line.strip():
            continue
        pair = split_pair(line)
        if pair is None:
            raise CorpusError(
                f"Line {number} is not a pair: write it as `prompt : completion`.", number
            )
        pairs.append(pair)
    return _pairs(pairs)


def _from_rows(rows: list[Row], layout: Layout | None, notes: list[str]) -> Corpus:
    pairs = [(first, second) for first, second in rows if second is not None]
    if pairs and layout in (None, "pairs"):
        return _pairs(pairs)
    if layout == "pairs":
        raise CorpusError("The file has no prompt and completion columns, so it has no pairs.")
    texts = [first if second is None else f"{first}{SEPARATOR}{second}" for first, second in rows]
    if layout == "lines" or (layout is None and not any("\n" in text for text in texts)):
        return Corpus("lines", tuple(" ".join(text.split("\n")) for text in texts))
    if not texts:
        return Corpus("text", ())
    notes.append("The texts span lines, so they are read as one text with blank lines between.")
    return Corpus("text", ("\n\n".join(texts),))


def _pairs(pairs: list[tuple[str, str]]) -> Corpus:
    return Corpus("pairs", tuple(first for first, _ in pairs), tuple(second for _, second in pairs))


def summarize(corpus: TextSource) -> CorpusSummary:
    """Count what the defaults are chosen from; a little memory."""
    characters = words = documents = 0
    distinct_words: set[str] = set()
    distinct_characters: set[str] = set()
    letters = unspaced = sampled = 0
    for chunk, found, ends in _chunks_of_words(corpus):
        documents += ends
        characters += len(chunk)
        words += len(found)
        if len(distinct_words) < MOST_DISTINCT:
            distinct_words.update(found)
        distinct_characters.update(chunk)
        if sampled < _SCRIPT_SAMPLE:
            sample = chunk[:_SCRIPT_SAMPLE]
            sampled += len(sample)
            letters += sum(map(str.isalpha, sample))
            unspaced += len(_UNSPACED.findall(sample))
    spaced = unspaced * 2 < max(1, letters)
    return CorpusSummary(
        layout=corpus.layout,
        documents=documents // 2 if corpus.layout == "pairs" else documents,
        characters=characters,
        words=words if spaced else characters,
        distinct_words=len(distinct_words) if spaced else len(distinct_characters),
        distinct_characters=len(distinct_characters),
        longest_line=corpus.longest_line(),
        spaced=spaced,
    )


def _chunks_of_words(corpus: TextSource) -> Iterator[tuple[str, list[str], bool]]:
    """Chunks of text with their words, and whether a text ends; a cut word goes to the next."""
    for text in corpus.texts():
        rest = waiting = ""
        for chunk in _chunks(text):
            if waiting:
                found = (rest + waiting).split()
                cut = found and not waiting[-1].isspace() and len(found[-1]) < CHUNK
                rest = found.pop() if cut else ""
                yield waiting, found, False
            waiting = chunk
        yield waiting, (rest + waiting).split(), True


def _chunks(text: str | Iterator[str]) -> Iterator[str]:
    for block in (text,) if isinstance(text, str) else text:
        for start in range(0, len(block), CHUNK):
            yield block[start : start + CHUNK]
