"""The shapes a text comes in: prose, lines, `prompt : completion` lines, CSV, TSV, JSON Lines.

Tables and JSON Lines are parsed strictly: a malformed row is refused with its line, never guessed.
"""

import csv
import io
import json
import re
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from itertools import chain, islice
from typing import Any, Literal

from lstmcore.errors import CorpusError

Layout = Literal["text", "lines", "pairs"]
Format = Literal["plain", "csv", "tsv", "jsonl"]

PROMPT_NAMES = ("prompt", "question", "input", "instruction", "source", "front")
COMPLETION_NAMES = ("completion", "answer", "output", "response", "target", "back")
TEXT_NAMES = ("text", "content", "sentence", "line")
SEPARATOR = " : "

LONGEST_FIELD = 1 << 27  # characters of a CSV field; the csv module's own limit is 128 K
COLUMN_SAMPLE = 1000  # rows that show which column holds text
MANY_BLANK = 0.02  # share of blank lines that shows paragraphs
SHORT_LINE = 60  # lines up to here are entries, however even their lengths
LONG_LINE = 300  # a longer one is a paragraph
EVEN_LENGTHS = 0.75  # mean over longest: above it, lines were wrapped at a margin

Row = tuple[str, str | None]  # a text alone, or a prompt and its completion


@dataclass
class Parsed:
    """What a file holds, before anything is decided about its layout."""

    rows: list[Row] = field(default_factory=list)
    notes: list[str] = field(default_factory=list)


def find_format(text: str, filename: str | None) -> Format:
    """The format of a text, by the file's ending, else by its first line."""
    ending = (filename or "").rpartition(".")[2].lower()
    if ending in ("csv", "tsv"):
        return "csv" if ending == "csv" else "tsv"
    if ending in ("jsonl", "ndjson", "json"):
        return "jsonl"
    first = _first_line(text)
    if first.startswith("{"):
        known = _json_object(first)
        return (
            "jsonl"
            if known and any(k in known for k in ("text", "prompt", "messages"))
            else "plain"
        )
    for kind, delimiter in (("tsv", "\t"), ("csv", ",")):
        names = _column_names(first.split(delimiter))
        if _find(names, PROMPT_NAMES) is not None and _find(names, COMPLETION_NAMES) is not None:
            return "csv" if kind == "csv" else "tsv"
    return "plain"


def parse(text: str, kind: Format) -> Parsed:
    """Rows of a table or of JSON Lines. Raises CorpusError with the line that is wrong."""
    parsed = _parse_jsonl(text) if kind == "jsonl" else _parse_table(text, kind)
    found = len(parsed.rows)
    parsed.rows = [row for row in parsed.rows if row[0] and row[1] != ""]
    if found > len(parsed.rows):
        parsed.notes.append(f"Empty rows were left out: {found - len(parsed.rows)}.")
    return parsed


def split_pair(line: str) -> tuple[str, str] | None:
    """`what is your name : Jay` → its two sides; None when it is no such line."""
    prompt, separator, completion = line.partition(SEPARATOR)
    prompt, completion = prompt.strip(), completion.strip()
    return (prompt, completion) if separator and prompt and completion else None


def plain_layout(lines: list[str]) -> Layout:
    """What the lines of a plain text are: pairs, entries of a list, or running text."""
    filled = [line for line in lines if line.strip()]
    if filled and all(split_pair(line) for line in filled):
        return "pairs"
    end = len(lines)
    while end and not lines[end - 1].strip():  # blank lines at the end mean nothing
        end -= 1
    longest = max(map(len, filled), default=0)
    mean = sum(map(len, filled)) / max(1, len(filled))
    if len(filled) < 2 or end - len(filled) > MANY_BLANK * end:  # noqa: PLR2004 - one is no list
        return "text"
    wrapped = mean > EVEN_LENGTHS * longest
    return "lines" if longest <= SHORT_LINE or (longest <= LONG_LINE and not wrapped) else "text"


def _first_line(text: str) -> str:
    """The first line that is not blank."""
    found = re.search(r"\S", text)
    if found is None:
        return ""
    end = text.find("\n", found.start())
    return text[found.start() : end if end >= 0 else len(text)].strip()


# --- tables


def _parse_table(text: str, kind: Format) -> Parsed:
    if kind == "tsv":
        try:
            return _read_table(_table_rows(text, "\t"))
        except CorpusError:
            # many programs write tabs without any quoting
            parsed = _read_table(_table_rows(text, "\t", quoted=False))
            parsed.notes.append("Quotation marks were read as part of the text.")
            return parsed
    first = _first_line(text)
    # spreadsheets write semicolons where the comma is the decimal sign
    return _read_table(_table_rows(text, ";" if ";" in first and "," not in first else ","))


def _read_table(table: Iterator[list[str]]) -> Parsed:
    names = _column_names(next(table, []))
    prompt, completion = _find(names, PROMPT_NAMES), _find(names, COMPLETION_NAMES)
    if prompt is not None and completion is not None:
        note = f"Columns {names[prompt]} and {names[completion]} were read as pairs."
        return Parsed([(row[prompt].strip(), row[completion].strip()) for row in table], [note])
    column = _find(names, TEXT_NAMES)
    sample: list[list[str]] = []
    if column is None:
        sample = list(islice(table, COLUMN_SAMPLE))
        column = _text_column(sample, len(names)) if names else 0
    shown = names[column] if names else ""
    note = f"The first row was read as column names, and only the column {shown!r} is used."
    return Parsed([(row[column].strip(), None) for row in chain(sample, table)], [note])


def _table_rows(text: str, delimiter: str, *, quoted: bool = True) -> Iterator[list[str]]:
    """Rows that are not blank; all have as many fields as the first."""
    csv.field_size_limit(LONGEST_FIELD)
    quoting: Literal[0, 3] = csv.QUOTE_MINIMAL if quoted else csv.QUOTE_NONE
    reader = csv.reader(
        io.StringIO(text, newline=""), delimiter=delimiter, strict=True, quoting=quoting
    )
    width = 0
    line = 1  # where the row begins: a quoted field may span lines
    while True:
        try:
            row = next(reader, None)
        except csv.Error as error:
            raise CorpusError(
                f"The row at line {line} is not valid: {error}. Put a text that holds quotation "
                "marks in quotation marks, and double those inside.",
                line,
            ) from None
        if row is None:
            return
        width = width or len(row)
        if row and len(row) != width:
            raise CorpusError(
                f"The row at line {line} has {len(row)} fields, but the first row has {width}: "
                "put a text that holds the separator in quotation marks.",
                line,
            )
        if row:
            yield row
        line = reader.line_num + 1


def _column_names(cells: list[str]) -> list[str]:
    return [cell.strip().strip('"').strip().lower() for cell in cells]


def _find(names: list[str], wanted: tuple[str, ...]) -> int | None:
    return next((names.index(name) for name in wanted if name in names), None)


def _text_column(sample: list[list[str]], width: int) -> int:
    """The first column that holds text: mostly letters, and not much shorter than the longest."""
    lengths = [
        sum(len(row[i]) for row in sample if any(map(str.isalpha, row[i]))) for i in range(width)
    ]
    return next(i for i, length in enumerate(lengths) if length * 2 >= max(lengths))


# --- JSON Lines


def _parse_jsonl(text: str) -> Parsed:
    parsed = Parsed()
    reader: Callable[[dict[str, Any]], list[Row]] | None = None
    for number, line in enumerate(text.split("\n"), start=1):
        if not line.strip():
            continue
        try:
            record = _strict_json(line)
            found = _record_reader(record)
            if reader is not None and found is not reader:
                raise _BadRecordError("is of another kind than the lines before it")
            reader = found
            parsed.rows += found(record)
        except _BadRecordError as error:
            raise CorpusError(f"Line {number} {error}.", number) from None
    if reader is _conversation_rows:
        parsed.notes.append("Each answer of a conversation is learned after what was said to it.")
    return parsed


class _BadRecordError(Exception):
    """What is wrong with one line of JSON, as the end of a sentence."""


def _strict_json(line: str) -> dict[str, Any]:
    try:
        # numbers are never used; read as whole ones, endless digits would take quadratic time
        record = json.loads(line, parse_int=float, parse_constant=_no_constant)
    except ValueError as error:
        raise _BadRecordError(
            f"is not JSON ({error}); JSON Lines has one complete object on each line"
        ) from None
    except RecursionError:
        raise _BadRecordError("is nested too deeply") from None
    if not isinstance(record, dict):
        raise _BadRecordError('is not an object like {"text": "…"}')
    return record


def _no_constant(name: str) -> None:
    raise ValueError(f"{name} is no JSON value")


def _json_object(line: str) -> dict[str, Any] | None:
    try:
        return _strict_json(line)
    except _BadRecordError:
        return None


def _record_reader(record: dict[str, Any]) -> Callable[[dict[str, Any]], list[Row]]:
    if "messages" in record:
        return _conversation_rows
    if "prompt" in record or "completion" in record:
        return _pair_rows
    if "text" in record:
        return _text_rows
    raise _BadRecordError('has no "text", no "prompt" and "completion", and no "messages"')


def _text_rows(record: dict[str, Any]) -> list[Row]:
    return [(_string(record, "text"), None)]


def _pair_rows(record: dict[str, Any]) -> list[Row]:
    return [(_string(record, "prompt"), _string(record, "completion"))]


def _conversation_rows(record: dict[str, Any]) -> list[Row]:
    """One pair for every answer; its prompt is what was said since the answer before."""
    messages = record["messages"]
    if not isinstance(messages, list) or not all(isinstance(m, dict) for m in messages):
        raise _BadRecordError('has "messages" that are not a list of objects')
    rows: list[Row] = []
    said: list[str] = []
    for message in messages:
        content = _string(message, "content")
        role = _string(message, "role")
        if role == "assistant":
            rows.append(("\n".join(said), content))
            said = []
        elif role in ("user", "system", "developer"):
            said += [content] if role == "user" else []
        else:
            raise _BadRecordError(f"has a message of the unknown role {role[:40]!r}")
    if not rows:
        raise _BadRecordError('has no message of the role "assistant" to learn')
    return rows


def _string(record: dict[str, Any], name: str) -> str:
    value = record.get(name)
    if not isinstance(value, str):
        raise _BadRecordError(f'has no text in "{name}"')
    try:
        value.encode()
    except UnicodeEncodeError:
        raise _BadRecordError(f'has half a character (a lone surrogate) in "{name}"') from None
    return value.replace("\r\n", "\n").replace("\r", "\n").strip()
