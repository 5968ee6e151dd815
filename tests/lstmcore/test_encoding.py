"""Large corpora: from a file, through a cache, mapped; always what they are in memory."""

import json
import random
from itertools import chain, pairwise
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st

from lstmcore import batches, corpus_file, pipelines, ring
from lstmcore.config import TokenizerConfig
from lstmcore.corpus import Corpus, read_corpus, summarize
from lstmcore.corpus_file import CorpusFile
from lstmcore.encoding import Fingerprint, encode_corpus, trim_cache
from lstmcore.errors import CorpusError
from lstmcore.ring import Ring, Streams
from lstmcore.scoring import evaluate
from lstmcore.tokenizer import Tokenizer
from lstmcore.training import StepDone, Trainer
from tests.lstmcore.trainings import (
    LINES,
    TEXT,
    config,
    differences,
    lesson_config,
    run_in_pieces,
    run_through,
    saved,
)

KINDS: list[dict[str, Any]] = [
    {"level": "char"},
    {"level": "char", "lowercase": True, "strip_punctuation": True},
    {"level": "word", "min_count": 2},
    {"level": "word", "strip_punctuation": True},
    {"level": "subword", "vocab_size": 280},
]
PROSE = (
    "Die Sonne ging über dem Hügel auf.\r\n\r\nNobody saw it — except 雪 and 山.\r\n"
    "  indented\tlines, and   runs of blanks \r\n" * 9
)


def tokenizer(corpus: Corpus, kind: dict[str, Any]) -> Tokenizer:
    return Tokenizer.train(TokenizerConfig(**kind), corpus.texts())


@pytest.fixture
def small_blocks(monkeypatch: pytest.MonkeyPatch) -> None:
    """Blocks of a few letters, pieces of a few more: all borders are met."""
    monkeypatch.setattr(corpus_file, "BLOCK", 7)
    monkeypatch.setattr(pipelines, "PIECE", 16)
    monkeypatch.setattr(pipelines, "LONGEST_WORD", 40)


@pytest.mark.usefixtures("small_blocks")
@pytest.mark.parametrize("layout", ["text", "lines"])
@pytest.mark.parametrize("mark", ["", "\ufeff"])
def test_a_file_is_what_it_is_in_memory(layout: Any, mark: str, tmp_path: Path) -> None:
    path = tmp_path / "prose.txt"
    path.write_bytes((mark + PROSE).encode())
    file = CorpusFile.open(path, layout=layout)
    corpus = read_corpus(path.read_bytes(), "prose.txt", layout=layout).corpus
    assert ["".join(text) for text in file.texts()] == list(corpus.texts())
    assert b"".join(file.canonical()) == corpus.to_bytes()
    assert Fingerprint.of(file) == Fingerprint.of(corpus)
    assert Fingerprint.of(file).nbytes == len(corpus.to_bytes())
    assert summarize(file) == summarize(corpus)
    for kind in KINDS:
        learned = tokenizer(corpus, kind)
        assert Tokenizer.train(TokenizerConfig(**kind), file.texts()) == learned
        one, other = encode_corpus(file, learned), encode_corpus(corpus, learned)
        assert np.array_equal(one.values, other.values)
        assert np.array_equal(one.lengths, other.lengths)


@given(
    text=st.text(alphabet=st.sampled_from("ab \n\t雪.'é\u0e01"), max_size=300),
    cuts=st.lists(st.integers(0, 300), max_size=8),
)
def test_pieces_do_not_depend_on_blocks(text: str, cuts: list[int]) -> None:
    edges = [0, *sorted(cuts), len(text)]
    blocks = [text[a:b] for a, b in pairwise(edges)]
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(pipelines, "PIECE", 16)
        patch.setattr(pipelines, "LONGEST_WORD", 400)
        for level in ("char", "word", "subword"):
            kind = pipelines.Kind(level, lowercase=False, strip_punctuation=False)  # type: ignore[arg-type]
            assert list(pipelines.pieces(iter(blocks), kind)) == list(pipelines.pieces(text, kind))


@given(
    documents=st.lists(st.text(max_size=40), min_size=1, max_size=12), kind=st.sampled_from(KINDS)
)
def test_ids_are_those_of_each_document_and_its_end(
    documents: list[str], kind: dict[str, Any]
) -> None:
    learned = tokenizer(Corpus("text", ("a b, a b. 雪雪 " + PROSE,)), kind)
    found = encode_corpus(Corpus("lines", tuple(documents)), learned)
    filled = [ids for ids in learned.encode_batch(documents) if ids]
    assert found.values.tolist() == list(chain(*([*ids, learned.eos_id] for ids in filled)))
    assert found.lengths.tolist() == [len(ids) + 1 for ids in filled]


@pytest.mark.parametrize(
    ("size", "dtype"), [(200, np.uint8), (253, np.uint8), (254, np.uint16), (70_000, np.uint32)]
)
def test_ids_take_as_few_bytes_as_they_can(size: int, dtype: type) -> None:
    letters = [chr(0x20000 + number) for number in range(min(size, 60_000))]
    letters += [chr(0xAC00 + number) for number in range(size - len(letters))]
    corpus = Corpus("text", ("".join(letters),))
    ids = encode_corpus(corpus, tokenizer(corpus, {"level": "char"})).values
    assert ids.dtype == dtype
    assert len(set(ids.tolist())) == size + 1


def test_a_cache_is_used_and_what_is_damaged_is_made_again(tmp_path: Path) -> None:
    learned = tokenizer(LINES, {"level": "word"})
    expected = encode_corpus(LINES, learned)
    for damage in ("none", "ids", "lengths", "about.json", "cut", "gone", "none"):
        found = encode_corpus(LINES, learned, cache=tmp_path)
        assert isinstance(found.values, np.memmap)
        assert np.array_equal(found.values, expected.values)
        assert np.array_equal(found.lengths, expected.lengths)
        (folder,) = tmp_path.iterdir()
        if damage == "cut":
            (folder / "ids").write_bytes((folder / "ids").read_bytes()[:-1])
        elif damage == "gone":
            (folder / "about.json").unlink()
        elif damage != "none":
            data = bytearray((folder / damage).read_bytes())
            data[len(data) // 2] ^= 0x55
            (folder / damage).write_bytes(data)
    encode_corpus(LINES, tokenizer(LINES, {"level": "char"}), cache=tmp_path)
    encode_corpus(TEXT, learned, cache=tmp_path)
    assert len(list(tmp_path.iterdir())) == 3
    assert all(len(json.loads((f / "about.json").read_text())) == 5 for f in tmp_path.iterdir())


def test_a_cache_that_cannot_be_written_is_done_without(tmp_path: Path) -> None:
    taken = tmp_path / "file"
    taken.write_text("not a folder")
    learned = tokenizer(LINES, {"level": "word"})
    found = encode_corpus(LINES, learned, cache=taken / "cache")
    assert np.array_equal(found.values, encode_corpus(LINES, learned).values)


def test_a_cache_is_trimmed_from_what_was_used_longest_ago(tmp_path: Path) -> None:
    kinds = KINDS[:4]
    for kind in kinds:
        encode_corpus(TEXT, tokenizer(TEXT, kind), cache=tmp_path)
    sizes = {f: sum(p.stat().st_size for p in f.iterdir()) for f in tmp_path.iterdir()}
    trim_cache(tmp_path, sum(sizes.values()))
    assert len(list(tmp_path.iterdir())) == 4
    trim_cache(tmp_path, sum(sizes.values()) - 1)
    assert len(list(tmp_path.iterdir())) == 3
    trim_cache(tmp_path, 0)
    assert list(tmp_path.iterdir()) == []
    trim_cache(tmp_path / "nowhere", 0)


def test_a_ring_is_read_as_if_it_were_joined() -> None:
    draw = random.Random(5)  # noqa: S311
    ids = np.arange(100, dtype=np.uint16)
    for _ in range(30):
        starts = sorted(draw.sample(range(90), draw.randint(1, 6)))
        lengths = [draw.randint(1, 10) for _ in starts]
        made = Ring(ids, np.array(starts), np.array(lengths))
        if draw.random() < 0.5:
            made = made.reordered(torch.randperm(len(starts)))
        if draw.random() < 0.5:
            made = made.rolled(draw.randint(-50, 50))
        joined = made.joined()
        assert len(joined) == len(made)
        for start in range(len(made)):
            count = draw.randint(1, 2 * len(made))
            expected = [joined[(start + at) % len(made)] for at in range(count)]
            assert made.read(start, count).tolist() == expected


def test_streams_are_the_same_whether_joined_or_read_piece_by_piece(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    made = Ring(np.arange(60), np.array([50, 0, 20]), np.array([9, 20, 11])).rolled(17)
    joined = Streams(made, 3, 13)
    monkeypatch.setattr(ring, "JOINED_TOKENS", 0)
    piecewise = Streams(made, 3, 13)
    for start in range(0, 13, 5):
        for one, other in zip(joined.window(start, 5), piecewise.window(start, 5), strict=True):
            assert torch.equal(one, other)


@pytest.mark.parametrize("corpus", [TEXT, LINES], ids=["text", "lines"])
def test_mapped_ids_give_the_same_training_and_can_be_resumed(
    corpus: Corpus, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    settings = config(corpus, layers=2, dropout=0.2, epochs=3)
    path = tmp_path / "corpus.txt"
    path.write_bytes(corpus.to_bytes())
    file = CorpusFile.open(path, layout=corpus.layout)
    whole = Trainer.start(settings, corpus, threads=1)
    told = run_through(whole)
    monkeypatch.setattr(ring, "JOINED_TOKENS", 0)  # as if it were larger than memory
    parts = Trainer.start(settings, file, cache=tmp_path / "cache")
    for item in parts.run():
        if isinstance(item, StepDone) and item.step == 5:
            break
    parts.save(tmp_path / "parts.safetensors")
    parts = Trainer.resume(tmp_path / "parts.safetensors", file, cache=tmp_path / "cache")
    rest = run_in_pieces(parts, file, tmp_path, 3)  # type: ignore[arg-type]
    assert rest == told[-len(rest) :]
    again = Trainer.resume(tmp_path / "end.safetensors", corpus)
    assert list(differences(saved(whole, tmp_path), saved(again, tmp_path))) == []
    assert evaluate(whole.language_model, file) == evaluate(whole.language_model, corpus)


def test_very_many_lines_stay_in_groups_of_whole_lines(monkeypatch: pytest.MonkeyPatch) -> None:
    lengths = np.array([3, 5, 2, 2, 40, 1, 1, 6])
    monkeypatch.setattr(batches, "TOKENS_A_GROUP", 10)
    groups = batches._neighbours(lengths)
    assert groups.tolist() == [10, 2, 48]
    assert groups.sum() == lengths.sum()
    assert set(groups.cumsum()) <= set(lengths.cumsum())
    monkeypatch.setattr(batches, "JOINED_TOKENS", 0)
    monkeypatch.setattr(ring, "JOINED_TOKENS", 0)
    trainer = Trainer.start(config(LINES, epochs=3), LINES)
    steps = [item for item in run_through(trainer) if isinstance(item, StepDone)]
    assert trainer.stopped == "finished"
    assert len(steps) == trainer.total_steps


@pytest.mark.parametrize(
    ("name", "data", "layout", "says"),
    [
        ("a.txt", b"what is it : a question\nwho is it : me\n", None, "Pairs"),
        ("a.csv", b"text\nhello\n", None, "plain"),
        ("a.txt", "caf\u00e9 au lait".encode("latin-1"), None, "utf-8"),
        ("a.txt", b"good " * 300_000 + b"\xff\xfe\n", None, "UTF-8"),
        ("a.txt", b"good " * 300_000 + b"\0\n", None, "zero"),
        ("a.txt", b" \n \n", None, "empty"),
        ("a.txt", b"some text", "poem", "layout"),
    ],
)
def test_what_cannot_stay_in_its_file_is_refused(
    name: str, data: bytes, layout: Any, says: str, tmp_path: Path
) -> None:
    path = tmp_path / name
    path.write_bytes(data)
    with pytest.raises(CorpusError, match=says):
        CorpusFile.open(path, layout=layout)


def test_the_lesson_needs_its_text_in_memory(tmp_path: Path) -> None:
    path = tmp_path / "lesson.txt"
    path.write_text("what is your name jay\nok\n")
    with pytest.raises(CorpusError, match="memory"):
        Trainer.start(lesson_config(), CorpusFile.open(path, layout="lines"))
