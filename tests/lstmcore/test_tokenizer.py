"""Tokenizers: text comes back to the letter, and no text can spell a special token."""

import json
from typing import Any

import pytest
import tokenizers
from hypothesis import given
from hypothesis import strategies as st

from lstmcore import pipelines
from lstmcore.config import Level, TokenizerConfig
from lstmcore.errors import TokenizerError
from lstmcore.pipelines import SPECIALS, pieces
from lstmcore.tokenizer import Tokenizer

LEVELS: tuple[Level, ...] = ("char", "word", "subword")
TUTORIAL_LINES = ["what is your name : Jay", "what is capital of India : Delhi", "ok"]

# Everything but half characters, and more of what tokenizers trip over.
TRICKY = st.sampled_from(
    [" ", "  ", "\n", "\n\n", "\r\n", "\t", "\u2028", "\x85", "\0"]
) | st.sampled_from(
    [
        "'",
        "\u2019",
        "don't",
        "_",
        "<unk>",
        "<eos>",
        "2019年",
        "汉字",
        "が",
        "か\u3099",
        "ไทย",
        "İ",
        "ß",
    ]
)
ANY_TEXT = st.lists(TRICKY | st.text(st.characters(exclude_categories=["Cs"]), max_size=4)).map(
    "".join
)
SOME_TEXT = ANY_TEXT.filter(bool)


def trained(level: Level, *texts: str, **options: Any) -> Tokenizer:
    return Tokenizer.train(TokenizerConfig(level=level, **options), texts)


def tutorial() -> Tokenizer:
    config = TokenizerConfig(level="word", lowercase=True, strip_punctuation=True)
    return Tokenizer.train(config, TUTORIAL_LINES, ascii_only=True)


@pytest.mark.parametrize("level", LEVELS)
@given(text=SOME_TEXT)
def test_text_comes_back_to_the_letter(level: Level, text: str) -> None:
    tokenizer = trained(level, text)
    encoding = tokenizer.encode(text)
    assert tokenizer.lossless
    assert tokenizer.decode(encoding.ids) == text
    assert encoding.unknown == []
    assert not set(encoding.ids) & {tokenizer.unk_id, tokenizer.eos_id, tokenizer.sep_id}


@pytest.mark.parametrize("level", LEVELS)
@given(first=SOME_TEXT, second=SOME_TEXT)
def test_the_file_gives_the_same_tokenizer_here_and_in_the_library(
    level: Level, first: str, second: str
) -> None:
    tokenizer = trained(level, first)
    stored = tokenizer.to_json()
    again = Tokenizer.from_json(stored)
    assert again == tokenizer
    assert again.kind == tokenizer.kind
    library = tokenizers.Tokenizer.from_str(stored)
    for text in (first, second):
        assert library.encode(text).ids == tokenizer.encode(text).ids
    assert library.decode(tokenizer.encode(first).ids) == first


@pytest.mark.parametrize("level", LEVELS)
@given(prompt=SOME_TEXT, data=st.data())
def test_a_continuation_never_changes_the_text_of_its_prompt(
    level: Level, prompt: str, data: st.DataObject
) -> None:
    tokenizer = trained(level, prompt)
    ids = tokenizer.encode(prompt).ids
    more = data.draw(st.lists(st.sampled_from(ids), max_size=5))
    assert tokenizer.decode(ids + more).startswith(tokenizer.decode(ids))


@given(texts=st.lists(ANY_TEXT, min_size=1), level=st.sampled_from(LEVELS))
def test_a_batch_is_the_same_as_one_by_one(texts: list[str], level: Level) -> None:
    tokenizer = trained(level, "some text", *texts)
    assert tokenizer.encode_batch(texts) == [tokenizer.encode(text).ids for text in texts]


@pytest.mark.parametrize("level", LEVELS)
def test_specials_come_after_the_sorted_vocabulary(level: Level) -> None:
    tokenizer = trained(level, "the cat sat on the mat, the end")
    size = tokenizer.vocabulary_size
    assert [tokenizer.token(index) for index in range(size - 3, size)] == list(SPECIALS)
    assert (tokenizer.unk_id, tokenizer.eos_id, tokenizer.sep_id) == (size - 3, size - 2, size - 1)
    assert tokenizer.modelled_size == size
    assert tokenizer.decode([tokenizer.eos_id, tokenizer.sep_id, tokenizer.unk_id]) == ""
    if level != "subword":
        words = [tokenizer.token(index) for index in range(size - 3)]
        assert words == sorted(set(words))


@pytest.mark.parametrize("level", LEVELS)
def test_no_text_spells_a_special_token(level: Level) -> None:
    text = "<unk> <eos>\n<sep><eos>x<unk>"
    tokenizer = trained(level, text * 30)
    ids = tokenizer.encode(text).ids
    assert max(ids) < tokenizer.unk_id
    assert tokenizer.decode(ids) == text


def test_words_carry_their_space_and_are_the_same_at_the_start_of_a_line() -> None:
    tokenizer = trained("word", "india is big\nindia is old.")
    assert tokenizer.encode("india is\nindia").tokens == [" india", " is", "\n", " india"]
    assert tokenizer.encode("don't").unknown == ["don't"]


def test_scripts_without_spaces_are_split_by_character_also_after_other_letters() -> None:
    tokenizer = trained("word", "在2019年abc的时候 2019")
    assert tokenizer.encode("2019年的abc时").tokens == [" 2019", "年", "的", "abc", "时"]


def test_unknown_tokens_are_reported_as_they_were_written() -> None:
    tokenizer = trained("word", "what is the capital of france")
    encoding = tokenizer.encode("what is zebra of Zebra zebra?")
    assert encoding.unknown == ["zebra", "Zebra", "?"]
    assert encoding.ids.count(tokenizer.unk_id) == 4
    assert trained("char", "abc").encode("abxx c").unknown == ["x", " "]
    assert trained("subword", "abc").encode("見る").unknown == []


def test_min_count_and_vocab_size_are_honoured() -> None:
    text = "a a a b b c d d d d"
    words = trained("word", text, min_count=2)
    assert words.encode("a b c d").unknown == ["c"]
    words = trained("word", text, vocab_size=2)
    assert words.vocabulary_size == 2 + len(SPECIALS)
    assert words.encode("a b c d").unknown == ["b", "c"]
    characters = trained("char", "aaabbc", vocab_size=2)
    assert characters.encode("abc").unknown == ["c"]
    assert trained("char", "aaabbc", min_count=3).encode("abc").unknown == ["b", "c"]
    subwords = trained("subword", "the cat sat on the mat " * 50, vocab_size=260)
    assert subwords.vocabulary_size == 260 + len(SPECIALS)


def test_stripped_words_are_joined_by_one_space() -> None:
    tokenizer = trained("word", "What's new? Well-known  things.", lowercase=True,
                        strip_punctuation=True)  # fmt: skip
    assert not tokenizer.lossless
    assert tokenizer.encode("Whats NEW!").tokens == ["whats", "new"]
    assert tokenizer.decode(tokenizer.encode("Whats\nNEW!").ids) == "whats new"


def test_lowercase_is_remembered() -> None:
    for level in LEVELS:
        tokenizer = trained(level, "Abc Def", lowercase=True)
        assert Tokenizer.from_json(tokenizer.to_json()).encode("ABC").ids == (
            tokenizer.encode("abc").ids
        )


def test_tutorial_vocabulary_and_unknown_words() -> None:
    tokenizer = tutorial()
    words = [tokenizer.token(index) for index in range(tokenizer.modelled_size)]
    assert words == sorted(
        ["capital", "delhi", "india", "is", "jay", "name", "of", "ok", "what", "your"]
    )
    assert tokenizer.modelled_size == 10
    encoding = tokenizer.encode("What is, the Capital of?")
    assert encoding.ids == [8, 3, 0, 6]
    assert encoding.unknown == ["the"]
    assert tokenizer.decode([2]) == "india"
    assert Tokenizer.from_json(tokenizer.to_json()).modelled_size == 10


@pytest.mark.parametrize("level", LEVELS)
def test_text_without_tokens_is_refused(level: Level) -> None:
    if level != "subword":  # bytes are there before any text
        with pytest.raises(TokenizerError):
            trained(level, "")
        with pytest.raises(TokenizerError, match="min_count"):
            trained(level, "a b c", min_count=9)
    with pytest.raises(TokenizerError, match="half a character"):
        trained(level, "a\ud800")
    with pytest.raises(TokenizerError, match="half a character"):
        trained(level, "a").encode("\udfff")


@given(text=ANY_TEXT, level=st.sampled_from(LEVELS))
def test_pieces_of_a_long_text_give_the_tokens_of_the_whole(text: str, level: Level) -> None:
    tokenizer = trained(level, text, "x")
    whole = tokenizer.encode(text).ids
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(pipelines, "PIECE", 4)
        in_pieces = tokenizer.encode_batch([text])[0]
        cut = list(pieces(text, tokenizer.kind))
    assert tokenizer.decode(in_pieces) == text
    if level != "subword":  # cut inside a run, subwords may split it in another way
        assert in_pieces == whole
    # only the one space that the next piece is given anyway may be left out at a cut
    assert len(text) - len(cut) < len("".join(piece.text for piece in cut)) <= len(text)


def test_a_word_longer_than_a_million_characters_is_refused_kindly() -> None:
    with pytest.raises(TokenizerError, match="preset char or subword"):
        trained("word", "a" * 2_200_000)
    # blanks without end are no words
    for blanks in (" ", "\n", "\t", " : ", "\n\n- "):
        assert trained("word", blanks * 800_000).vocabulary_size > len(SPECIALS)


def damaged() -> list[str]:
    stored = json.loads(trained("word", "a b c").to_json())
    model = stored["model"]

    def with_vocabulary(vocabulary: object) -> str:
        return json.dumps({**stored, "model": {**model, "vocab": vocabulary}})

    return [
        "",
        "{}",
        "[]",
        "null",
        "[" * 100_000,
        '{"model": ' * 50_000,
        '{"model": {}}',
        '{"model": {"type": "WordLevel"}}',
        '"\ud800"',
        json.dumps(stored)[:-20],
        json.dumps({**stored, "normalizer": {"type": "Precompiled", "precompiled_charsmap": "AA"}}),
        json.dumps({**stored, "model": {**model, "type": "Unigram"}}),
        json.dumps({**stored, "added_tokens": [{"id": 0, "content": "<unk>"}]}),
        with_vocabulary(None),
        with_vocabulary([]),
        with_vocabulary({}),
        with_vocabulary({**model["vocab"], " a": 10**30}),
        with_vocabulary({**model["vocab"], " a": -1}),
        with_vocabulary({**model["vocab"], " a": True}),
        with_vocabulary({**model["vocab"], " z": 1}),
        with_vocabulary({"<unk>": 0, "<eos>": 1, "<sep>": 2}),
        with_vocabulary({"<unk>": 0, "<eos>": 1, "<sep>": 2, " a": 3}),
    ]


@pytest.mark.parametrize("stored", damaged())
def test_a_damaged_or_foreign_file_is_refused(stored: str) -> None:
    with pytest.raises(TokenizerError):
        Tokenizer.from_json(stored)


def test_damaged_merges_are_refused() -> None:
    stored = json.loads(trained("subword", "the cat the cat").to_json())
    for merges in (None, 3, [["zz", "yy"]], [["a"]], ["a"], [[1, 2]]):
        stored["model"]["merges"] = merges
        with pytest.raises(TokenizerError):
            Tokenizer.from_json(json.dumps(stored))


def test_ids_that_do_not_exist() -> None:
    tokenizer = trained("word", "a b")
    for index in (-1, tokenizer.vocabulary_size, 10**12):
        with pytest.raises(TokenizerError):
            tokenizer.token(index)
    assert tokenizer.decode([-1, 10**12]) == ""
