"""What is shown of a text before training, and what a training is said to take."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from lstmcore import inspection
from lstmcore.config import Level, ModelConfig, TokenizerConfig, TrainConfig, resolve_config
from lstmcore.corpus import Corpus, summarize
from lstmcore.estimate import estimate
from lstmcore.inspection import preview
from lstmcore.model import LSTMLanguageModel
from lstmcore.shapes import count_parameters

LINES = Corpus("lines", ("the cat sat", "the dog sat", "the cat sat", "a zebra ran"))


@pytest.mark.parametrize("level", ["char", "word", "subword"])
def test_preview_shows_tokens_and_counts(level: Level) -> None:
    shown = preview(LINES, level, limit=2)
    assert [line["text"] for line in shown["lines"]] == ["the cat sat", "the dog sat"]
    for line in shown["lines"]:
        assert len(line["tokens"]) == len(line["ids"])
        assert all(0 <= index < shown["vocabulary"] for index in line["ids"])
    assert shown["duplicates"] == 1
    assert shown["unknown_share"] == 0
    assert 0 <= shown["rare_share"] <= 1
    assert not shown["sampled"]


def test_preview_counts_words() -> None:
    shown = preview(LINES, "word")
    assert shown["tokens"] == 12
    assert shown["vocabulary"] == 7 + 3  # the, cat, sat, dog, a, zebra, ran and the specials
    assert shown["rare_share"] == 4 / 7
    assert shown["frequent"][:2] == [{"token": " the", "count": 3}, {"token": " sat", "count": 3}]
    assert shown["rare"] == [" dog", " a", " zebra", " ran"]
    assert shown["unknown"] == []
    rare = preview(LINES, TokenizerConfig(level="word", min_count=2))
    assert rare["unknown_share"] == 4 / 12
    assert rare["unknown"] == ["dog", "a", "zebra", "ran"]


def test_preview_of_pairs_counts_both_sides() -> None:
    pairs = Corpus("pairs", ("what is it", "who"), ("a cat", "jay"))
    shown = preview(pairs, "word")
    assert shown["tokens"] == 7
    assert shown["lines"][0]["text"] == "what is it : a cat"
    assert shown["lines"][0]["tokens"] == [" what", " is", " it", "<sep>", " a", " cat"]


def test_preview_of_the_tutorial() -> None:
    lines = Corpus("lines", ("what is your name : Jay", "what is capital of India : Delhi", "ok"))
    config = TokenizerConfig(level="word", lowercase=True, strip_punctuation=True)
    shown = preview(lines, config, ascii_only=True)
    assert shown["vocabulary"] == 10
    assert shown["lines"][1]["ids"] == [8, 3, 0, 6, 2, 1]


def test_preview_of_a_long_text_looks_at_its_beginning(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(inspection, "SAMPLE_CHARACTERS", 1000)
    text = "one two " * 1000
    shown = preview(Corpus("text", (text,)), "char")
    assert shown["sampled"]
    assert shown["tokens"] == len(text)


@given(
    vocabulary=st.integers(1, 50),
    embed=st.integers(1, 9),
    hidden=st.integers(1, 9),
    layers=st.integers(1, 3),
    tied=st.booleans(),
)
def test_parameters_are_exactly_those_of_the_network(
    vocabulary: int, embed: int, hidden: int, layers: int, tied: bool
) -> None:
    config = ModelConfig(embed_dim=embed, hidden_dim=hidden, layers=layers, tie_weights=tied)
    network = LSTMLanguageModel(vocabulary, config)
    learned = sum(weights.numel() for weights in network.parameters())
    assert count_parameters(config, vocabulary) == learned


def config_for(corpus: Corpus, **training: object) -> TrainConfig:
    return resolve_config({"training": training}, summarize(corpus))


def test_estimated_steps_of_text_and_pairs() -> None:
    pairs = Corpus("pairs", ("a",) * 100, ("b",) * 100)
    config = config_for(pairs, epochs=3, batch_size=16, validation_fraction=0)
    assert estimate(config, 50, 400, documents=100).steps == 3 * 7
    text = config_for(LINES, epochs=2, batch_size=4, bptt=8, validation_fraction=0.5)
    assert estimate(text, 50, 640).steps == 2 * 10
    tutorial = resolve_config({"preset": "tutorial"}, summarize(LINES))
    assert estimate(tutorial, 10, 12, documents=2).steps == 200


def test_more_of_anything_costs_more() -> None:
    config = config_for(LINES, epochs=2)
    small = estimate(config, 1000, 100_000)
    for larger in (
        estimate(config, 2000, 100_000),
        estimate(config_for(LINES, epochs=2, batch_size=64), 1000, 100_000),
    ):
        assert larger.memory_bytes > small.memory_bytes
    assert estimate(config, 1000, 200_000).seconds > small.seconds
    assert estimate(config, 1000, 100_000, threads=2).seconds < small.seconds
    assert estimate(config_for(LINES, epochs=2, max_seconds=0.1), 1000, 10**6).seconds == 0.1
