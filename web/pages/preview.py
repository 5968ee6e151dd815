"""What the machine sees in a text, while somebody still writes it.

Answers one piece of the start page: counts, tokens in colour, the split, the recipe that suits the
text and what a training would take here. Bounded: only the beginning of a long text is looked at,
its counts are scaled, and so few looks run at once that typing never keeps others waiting.
"""

from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from typing import Any

from flask import abort, current_app, render_template, request
from werkzeug.datastructures import FileStorage

from lstmcore import inspection
from lstmcore.config import TrainConfig, resolve_config, suggest_preset
from lstmcore.corpus import Corpus, CorpusSummary, ReadCorpus, read_corpus, summarize
from lstmcore.errors import ConfigError, CorpusError, LSTMError
from lstmcore.estimate import estimate
from lstmcore.tutorial import tutorial_pairs, tutorial_tokenizer
from web.auth import current_backend, current_owner
from web.pages.blueprint import pages
from web.pages.fields import messages_by_field, read_config
from web.pages.wording import sentence
from web.roles import needs
from web.security import check_csrf
from worker import datasets, speed, submissions
from worker.errors import NotFound, Unavailable

# The key in `app.extensions` of the semaphore that counts looks.
LOOKS = "lstmq.looks"
MOST_LOOKS = 2  # at once
PATIENCE_SECONDS = 3.0
LOOKED_AT = 256 * 1024  # characters or bytes of a text; the page sends no more of it
LARGEST_BODY = 4 * LOOKED_AT + 64 * 1024
LINES = 8
TOKENS_A_LINE = 48
HUES = 6
# A text so many times longer has about so many times more different words (Heaps' law).
VOCABULARY_GROWTH = 0.6


@dataclass(frozen=True)
class Source:
    """A text, or its beginning, and how much of it there is."""

    read: ReadCorpus
    scale: float  # the whole is so many times longer
    shows_encoding: bool  # what is typed has none of its own
    field: str  # of the form, where messages about the text belong


@dataclass
class Look:
    """Everything the piece of the page shows."""

    messages: dict[str, str] = field(default_factory=dict)  # by field of the form
    report: Mapping[str, Any] | None = None
    cut: bool = False
    shows_encoding: bool = False
    suggested: str = ""
    why: str = ""
    config: TrainConfig | None = None
    tokens: Mapping[str, Any] | None = None
    lines: list[list[dict[str, Any]]] = field(default_factory=list)
    split: tuple[int, int, str] = (0, 0, "tokens")
    expectation: speed.Expectation | None = None
    most_memory_bytes: int = 0


@pages.post("/preview")
@needs("viewer")
def preview() -> str:
    """The look at what the form holds now, as a piece of HTML."""
    check_csrf()
    if (request.content_length or 0) > LARGEST_BODY:
        abort(413)
    given = request.form.to_dict()
    looks = current_app.extensions[LOOKS]
    if not looks.acquire(timeout=PATIENCE_SECONDS):
        raise Unavailable("Many texts are being looked at just now.", retry_after_seconds=2)
    try:
        look = look_at(given, request.files.get("head"))
    finally:
        looks.release()
    return render_template("preview.html", look=look)


def look_at(given: Mapping[str, str], head: FileStorage | None = None) -> Look:
    """Look at a filled form; `head` is the beginning of its file."""
    look = Look(most_memory_bytes=current_backend().settings.max_training_bytes)
    place = "file" if head else "dataset" if given.get("dataset") else "text"
    try:
        source = _source(given, head)
    except (CorpusError, NotFound) as error:
        look.messages[place] = sentence(str(error))
        return look
    if source is None:
        return look
    corpus = source.read.corpus
    summary = _scaled(summarize(corpus), source.scale)
    look.report, look.cut = _scaled_report(source), source.scale > 1
    look.shows_encoding = source.shows_encoding
    look.suggested, look.why = suggest_preset(summary)
    look.config = _config(given, summary, look)
    try:
        _see_tokens(look, corpus, summary, source)
    except LSTMError as error:
        where = "preset" if look.config.preset == "tutorial" else source.field
        look.messages.setdefault(where, sentence(str(error)))
    return look


def _config(given: Mapping[str, str], summary: CorpusSummary, look: Look) -> TrainConfig:
    """What the form asks for; where it asks for something impossible, what suits the text."""
    try:
        asked = submissions.continued(current_backend(), current_owner(), read_config(given))
        return resolve_config(asked, summary)
    except ConfigError as error:
        look.messages |= messages_by_field(error.errors) or {"": sentence(str(error))}
    except NotFound as error:
        look.messages["init_from"] = sentence(str(error))
    return resolve_config({}, summary)


def _see_tokens(look: Look, corpus: Corpus, summary: CorpusSummary, source: Source) -> None:
    config = look.config
    assert config is not None  # noqa: S101 - set by the caller; for the type checker
    lesson = config.preset == "tutorial"
    if lesson:
        tutorial_pairs(corpus, tutorial_tokenizer(corpus, config.tokenizer))
    seen = inspection.preview(corpus, config.tokenizer, LINES, ascii_only=lesson, summary=summary)
    count = round(seen["tokens"] * source.scale)
    look.tokens = seen | {"tokens": count}
    look.lines = [_coloured(line, seen["rare"]) for line in seen["lines"]]
    one_by_one = corpus.layout == "pairs" or lesson
    whole, unit = (summary.documents, "pairs") if one_by_one else (count, "tokens")
    if lesson:
        unit = "lines"
    held = round(whole * config.training.validation_fraction)
    look.split = (whole - held, held, unit)
    documents = summary.documents if one_by_one else None
    vocabulary = min(
        round(seen["vocabulary"] * source.scale**VOCABULARY_GROWTH),
        max(seen["vocabulary"], config.tokenizer.vocab_size + 3),
    )
    estimated = estimate(config, vocabulary, count, documents=documents)
    look.expectation = speed.expect(current_backend(), estimated)


def _source(given: Mapping[str, str], head: FileStorage | None) -> Source | None:
    if head:
        data = head.stream.read(LOOKED_AT)
        scale = _scale(given, len(data))
        read = (
            _read_beginning(data, head.filename)
            if scale > 1
            else read_corpus(data, head.filename, encoding=given.get("encoding") or None)
        )
        return Source(read, scale, True, "file")
    if identifier := given.get("dataset"):
        backend = current_backend()
        dataset = datasets.get(backend, current_owner(), identifier)
        corpus, scale = _beginning(datasets.load_corpus(backend, dataset))
        return Source(ReadCorpus(corpus, dataset.report), scale, True, "dataset")
    text = given.get("text", "")[:LOOKED_AT]
    if not text.strip():
        return None
    data = text.encode("utf-8", "replace")
    scale = _scale(given, len(text))
    read = _read_beginning(data, None) if scale > 1 else read_corpus(data, encoding="utf-8")
    return Source(read, scale, False, "text")


def _scale(given: Mapping[str, str], length: int) -> float:
    """How many times longer the whole is than what the page sent of it."""
    size = given.get("size", "")
    whole = int(size) if size.isascii() and size.isdecimal() and len(size) < 16 else 0  # noqa: PLR2004
    return max(1.0, whole / max(1, length))


def _read_beginning(data: bytes, filename: str | None) -> ReadCorpus:
    """Read bytes that end anywhere: in a character, in a row."""
    for cut in range(4):
        try:
            return _without_broken_end(data[: len(data) - cut], filename)
        except CorpusError as error:
            last = error
    raise last


def _without_broken_end(data: bytes, filename: str | None) -> ReadCorpus:
    try:
        return read_corpus(data, filename)
    except CorpusError as error:
        # A row that the end of the beginning broke; one that is broken earlier comes again.
        lines = data.splitlines(keepends=True)
        if error.line is None or not 1 < error.line <= len(lines):
            raise
        return read_corpus(b"".join(lines[: error.line - 1]), filename)


def _beginning(corpus: Corpus) -> tuple[Corpus, float]:
    """The first part of a stored text, and how many times longer the whole is."""
    whole, kept = sum(map(len, corpus.texts())), 0
    documents: list[str] = []
    for number, document in enumerate(corpus.documents):
        documents.append(document[: LOOKED_AT - kept])
        kept += len(documents[-1]) + (len(corpus.completions[number]) if corpus.completions else 0)
        if kept >= LOOKED_AT:
            break
    completions = corpus.completions[: len(documents)]
    return replace(corpus, documents=tuple(documents), completions=completions), whole / max(
        1, kept
    )


def _scaled(summary: CorpusSummary, scale: float) -> CorpusSummary:
    if scale <= 1:
        return summary
    return replace(
        summary,
        documents=round(summary.documents * scale) if summary.documents > 1 else 1,
        characters=round(summary.characters * scale),
        words=round(summary.words * scale),
        distinct_words=round(summary.distinct_words * scale**VOCABULARY_GROWTH),
    )


def _scaled_report(source: Source) -> dict[str, Any]:
    report = dict(source.read.report)
    counted = () if source.field == "dataset" else ("lines", "characters", "documents")
    return report | {name: round(report[name] * source.scale) for name in counted}


def _coloured(line: Mapping[str, Any], rare: list[str]) -> list[dict[str, Any]]:
    """The tokens of a line: a hue for each id, so that the same token always looks the same."""
    pairs = list(zip(line["tokens"], line["ids"], strict=True))
    shown = [
        {"text": token, "id": index, "hue": index % HUES, "rare": token in rare}
        for token, index in pairs[:TOKENS_A_LINE]
    ]
    return shown + ([{"more": len(pairs) - TOKENS_A_LINE}] if len(pairs) > TOKENS_A_LINE else [])
