"""Reading what people have: any encoding, newline and format; refusals that name the line."""

import codecs
import json
from collections.abc import Callable
from encodings.aliases import aliases
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from lstmcore.config import resolve_config
from lstmcore.corpus import Corpus, Layout, ReadCorpus, decode_text, read_corpus, summarize
from lstmcore.errors import CorpusError
from lstmcore.tutorial import tutorial_pairs, tutorial_tokenizer

SAMPLES = Path(__file__).parents[2] / "web" / "samples"
TUTORIAL = b"what is your name : Jay\nwhat is capital of India : Delhi\nok\n"
TEXTS = {
    "gb18030": "今天天气很好、我们去公园散步吧。学习语言模型很有意思。",
    "big5": "今天天氣很好、我們去公園散步吧。學習語言模型很有意思。",
    "shift_jis": "今日は天気がいいから、公園を散歩しましょう。言語の勉強は楽しいです。",
    "euc_jp": "今日は天気がいいから、公園を散歩しましょう。言語の勉強は楽しいです。",
    "euc_kr": "오늘은 날씨가 좋아서 공원에 산책을 갔습니다. 언어 공부는 재미있습니다.",
    "cp1251": "Сегодня хорошая погода, пойдём гулять в парк. Учить языки интересно.",
    "koi8_r": "Сегодня хорошая погода, пойдём гулять в парк. Учить языки интересно.",
    "cp1252": "Über den Dächern… “so schön”… größer für immer. Ça va, garçon? Déjà vu à l'été.",
}


def read(text: str, filename: str | None = None, layout: Layout | None = None) -> ReadCorpus:
    return read_corpus(text.encode(), filename, layout=layout)


def refusal(read_it: Callable[[], object]) -> CorpusError:
    with pytest.raises(CorpusError) as caught:
        read_it()
    assert str(caught.value).endswith(".")
    return caught.value


# --- decoding


@pytest.mark.parametrize("newline", ["\n", "\r\n", "\r"])
@pytest.mark.parametrize("encoding", TEXTS)
def test_encodings_are_detected(encoding: str, newline: str) -> None:
    text = TEXTS[encoding]
    lines = ["what is the capital of france", text, text[:12], "42"]
    decoded = decode_text(newline.join(lines).encode(encoding))
    assert decoded.text == "\n".join(lines)
    assert decoded.encoding == encoding
    assert decoded.newline == {"\n": "LF", "\r\n": "CRLF", "\r": "CR"}[newline]


@pytest.mark.parametrize("encoding", TEXTS)
def test_one_short_line_is_enough_to_tell_an_encoding(encoding: str) -> None:
    text = TEXTS[encoding][:12]
    assert decode_text(text.encode(encoding)).text == text


@pytest.mark.parametrize("encoding", TEXTS)
def test_a_long_line_that_a_sample_cuts_inside_a_character(encoding: str) -> None:
    for start in ("", "a", "ab"):
        text = start + TEXTS[encoding].replace(" ", "") * 3000
        assert decode_text(text.encode(encoding)).text == text


@pytest.mark.parametrize(
    ("bom", "encoding"),
    [
        (codecs.BOM_UTF8, "utf-8"),
        (codecs.BOM_UTF16_LE, "utf-16-le"),
        (codecs.BOM_UTF16_BE, "utf-16-be"),
        (codecs.BOM_UTF32_LE, "utf-32-le"),
        (codecs.BOM_UTF32_BE, "utf-32-be"),
    ],
)
def test_byte_order_marks(bom: bytes, encoding: str) -> None:
    for text in TEXTS.values():
        decoded = decode_text(bom + text.encode(encoding))
        assert (decoded.text, decoded.encoding) == (text, encoding)


@pytest.mark.parametrize("encoding", ["utf-16-le", "utf-16-be"])
def test_utf16_without_a_byte_order_mark(encoding: str) -> None:
    text = "what is your name : Jay"
    assert decode_text(text.encode(encoding)).text == text


def test_a_named_encoding_overrides_detection() -> None:
    data = TEXTS["cp1251"].encode("koi8_r")
    assert decode_text(data, "KOI8-R").text == TEXTS["cp1251"]
    assert decode_text(data, "cp1251").text != TEXTS["cp1251"]
    assert decode_text(codecs.BOM_UTF8 + b"abc", "utf-8").text == "abc"
    assert refusal(lambda: decode_text(b"abc\n\xff", "utf-8")).line == 2


@pytest.mark.parametrize(
    "name", ["klingon", "base64", "zip", "rot13", "idna", "punycode", "unicode_escape", "utf-7",
             "a\0b", "x" * 9999, "../x", "aliases", "!"]
)  # fmt: skip
def test_names_that_are_no_encodings_are_refused(name: str) -> None:
    assert "not known" in str(refusal(lambda: decode_text(b"abc", name)))


def test_mixed_newlines_are_reported_and_converted() -> None:
    decoded = decode_text(b"a\r\nb\rc\nd")
    assert (decoded.text, decoded.newline) == ("a\nb\nc\nd", "mixed")
    assert decode_text(b"one line").newline == "none"


@pytest.mark.parametrize(
    "data",
    [
        b"\x89PNG\r\n\x1a\n\0\0\0\rIHDR",
        b"%PDF-1.7\nplain enough",
        b"PK\x03\x04word/document.xml",
        b"abc\0def\n" * 50,
        bytes(range(256)) * 8,
        b"\x01\x02\x03\x04\x05\x06" * 9,
    ],
)
def test_binary_data_is_refused(data: bytes) -> None:
    refusal(lambda: read_corpus(data))


@given(
    data=st.binary(max_size=200),
    encoding=st.none() | st.sampled_from(sorted(set(aliases.values()))) | st.text(max_size=8),
)
def test_any_bytes_are_read_or_refused(data: bytes, encoding: str | None) -> None:
    try:
        text = decode_text(data, encoding).text
    except CorpusError:
        return
    assert "\r" not in text
    text.encode()  # it has no half characters


# --- formats


def test_the_tutorial_lines_are_lines() -> None:
    found = read_corpus(TUTORIAL)
    assert found.corpus.layout == "lines"
    assert found.corpus.documents == tuple(TUTORIAL.decode().split("\n")[:3])
    assert found.report["encoding"] == "utf-8"
    assert (found.report["lines"], found.report["documents"]) == (3, 3)


def test_lines_of_prompt_and_completion_are_pairs() -> None:
    found = read("what is your name : Jay\n\nwhat is capital of India : Delhi : or so\n")
    assert found.corpus.layout == "pairs"
    assert found.corpus.documents == ("what is your name", "what is capital of India")
    assert found.corpus.completions == ("Jay", "Delhi : or so")
    assert refusal(lambda: read("a : b\nok\n", layout="pairs")).line == 2


def test_prose_is_text_and_a_list_is_lines() -> None:
    prose = "A rather long line of prose that was wrapped at a margin by someone,\n" * 5
    assert read(prose + "\n" + prose).corpus.layout == "text"
    assert read(prose).corpus.layout == "text"
    assert read("one word").corpus.layout == "text"
    assert read("emma\nolivia\nava\n").corpus.layout == "lines"
    assert read("emma\nolivia\n", layout="text").corpus.documents == ("emma\nolivia\n",)


@pytest.mark.parametrize("names", ["prompt,completion", "Question,Answer", "id,output,input"])
def test_csv_pairs(names: str) -> None:
    columns = names.split(",")
    cells = {name: name[0] for name in columns}
    cells |= {columns[-2]: 'say "hi", twice\nplease', columns[-1]: "hello"}
    quoted = ",".join('"' + cells[name].replace('"', '""') + '"' for name in columns)
    found = read(f"{names}\r\n{quoted}\r\n", "facts.csv")
    assert found.corpus.layout == "pairs"
    texts = {found.corpus.documents[0], found.corpus.completions[0]}
    assert texts == {'say "hi", twice\nplease', "hello"}


def test_csv_of_texts() -> None:
    found = read("id,title,label\n1,a long title,x\n2,another title,y\n", "titles.csv")
    assert found.corpus == Corpus("lines", ("a long title", "another title"))
    assert "'title'" in found.report["notes"][0]
    assert read("label;text\nx;one, two\n", "t.csv").corpus.documents == ("one, two",)
    # a text that spans lines cannot be a line
    assert read('text\n"a\nb"\nc\n', "t.csv").corpus == Corpus("text", ("a\nb\n\nc",))


def test_tables_are_recognised_by_their_first_line_too() -> None:
    assert read("prompt,completion\na,b\n").corpus == Corpus("pairs", ("a",), ("b",))
    assert read("prompt\tcompletion\na\tb\n").corpus == Corpus("pairs", ("a",), ("b",))
    assert read("so, this is text\nand, more\n").corpus.layout == "lines"


@pytest.mark.parametrize(
    ("text", "line"),
    [
        ("prompt,completion\na,b\na,b,c\n", 3),
        ("prompt,completion\na,b\na\n", 3),
        ('prompt,completion\n"a\nb",c\nd\n', 4),
        ('prompt,completion\n"a,b\nc,d\n', 2),
        ('prompt,completion\na,b\n"a"x,b\n', 3),
    ],
)
def test_a_malformed_row_is_refused_with_its_line(text: str, line: int) -> None:
    assert refusal(lambda: read(text, "facts.csv")).line == line


def test_tabs_without_quoting() -> None:
    found = read('prompt\tcompletion\n"Hi" she said\tyes\n', "t.tsv")
    assert found.corpus.documents == ('"Hi" she said',)
    assert refusal(lambda: read("prompt\tcompletion\na\tb\na\n", "t.tsv")).line == 3


def test_json_lines() -> None:
    pairs = '{"prompt": " a ", "completion": "b\\r\\nc", "topic": [1e999, 3]}\n\n'
    assert read(pairs).corpus == Corpus("pairs", ("a",), ("b\nc",))
    assert read('{"text": "a"}\n{"text": "b"}', "x.jsonl").corpus == Corpus("lines", ("a", "b"))
    turns = [("system", "be nice"), ("user", "hi"), ("assistant", "hello"), ("user", "bye"),
             ("assistant", "see you")]  # fmt: skip
    messages = [{"role": role, "content": content} for role, content in turns]
    found = read(json.dumps({"messages": messages}))
    assert found.corpus == Corpus("pairs", ("hi", "bye"), ("hello", "see you"))


@pytest.mark.parametrize(
    "bad",
    [
        "{",
        '{"text": "a"} x',
        "[1]",
        "3",
        "null",
        "{}",
        '{"text": 3}',
        '{"text": null}',
        '{"text": "a", "n": NaN}',
        '{"text": "\\ud800"}',
        '{"prompt": "a"}',
        '{"prompt": "a", "completion": "b"}',
        '{"messages": []}',
        '{"messages": 3}',
        '{"messages": [3]}',
        '{"messages": [{"role": "user", "content": "a"}]}',
        '{"messages": [{"role": "tool", "content": "a"}]}',
        '{"messages": [{"role": "assistant", "content": ["a"]}]}',
        '{"text": ' + "[" * 200_000,
        '{"text": ' + '{"a":' * 200_000,
        '{"text": ' + "9" * 200_000 + "}",
    ],
)
def test_a_malformed_json_line_is_refused_with_its_line(bad: str) -> None:
    error = refusal(lambda: read('{"text": "a"}\n\n' + bad + '\n{"text": "b"}', "x.jsonl"))
    assert error.line == 3


def test_huge_numbers_beside_the_text_are_no_matter() -> None:
    assert read('{"text": "a", "n": ' + "9" * 10_000 + "}").corpus.documents == ("a",)


@pytest.mark.parametrize("filename", [None, "a.csv", "a.tsv", "a.jsonl", "a.txt"])
@pytest.mark.parametrize("data", [b"", b" \n\t\r\n ", codecs.BOM_UTF8])
def test_empty_files_are_refused(data: bytes, filename: str | None) -> None:
    assert "empty" in str(refusal(lambda: read_corpus(data, filename)))


def test_tables_without_text_are_refused_and_empty_rows_are_told() -> None:
    refusal(lambda: read("prompt,completion\n", "a.csv"))
    refusal(lambda: read('{"text": " "}'))
    refusal(lambda: read("text\na\n", "a.csv", "pairs"))
    found = read("prompt,completion\na,b\n,c\nd,\n", "a.csv")
    assert found.corpus.documents == ("a",)
    assert "Empty rows were left out: 2." in found.report["notes"]


def test_an_unknown_layout_is_refused() -> None:
    refusal(lambda: read("abc", layout="verse"))  # type: ignore[arg-type]


@given(
    text=st.text(st.sampled_from("ab\",\t:; \n\r{}[]'0é")) | st.text(),
    filename=st.sampled_from([None, "a.csv", "a.tsv", "a.jsonl", "a.txt", "a"]),
    layout=st.sampled_from([None, "text", "lines", "pairs"]),
)
def test_any_text_is_kept_or_refused(
    text: str, filename: str | None, layout: Layout | None
) -> None:
    data = text.encode(errors="replace")
    try:
        corpus = read_corpus(data, filename, layout=layout).corpus
    except CorpusError:
        return
    assert layout in (None, corpus.layout)
    assert any(document.strip() for document in corpus.documents)
    assert Corpus.from_bytes(corpus.layout, corpus.to_bytes()) == corpus
    about = summarize(corpus)
    assert about.documents == len(corpus.documents)
    assert about.characters == sum(map(len, corpus.texts()))
    assert about.distinct_characters <= about.characters


def test_stored_bytes_that_are_damaged_are_refused() -> None:
    for data in (b"\xff", b"{}\n", b"[1]\n", b"3\n", b"{", b"[" * 100_000):
        refusal(lambda data=data: Corpus.from_bytes("pairs", data))
    refusal(lambda: Corpus.from_bytes("text", b"\xff"))


def test_summary_counts_a_long_text_in_pieces() -> None:
    text = "all work and no play " * 150_000 + "end"
    about = summarize(Corpus("text", (text,)))
    assert (about.words, about.distinct_words) == (5 * 150_000 + 1, 6)
    assert about.characters == len(text)
    assert about.spaced
    assert not summarize(Corpus("text", ("今日は天気がいい",))).spaced


def test_duplicate_lines_are_counted() -> None:
    assert read("a\nb\na\na\n").report["duplicate_lines"] == 2


# --- the tutorial's rule


def test_tutorial_numbers() -> None:
    corpus = read_corpus((SAMPLES / "tutorial.txt").read_bytes()).corpus
    config = resolve_config({"preset": "tutorial"}, summarize(corpus))
    tokenizer = tutorial_tokenizer(corpus, config.tokenizer)
    assert [tokenizer.token(index) for index in range(10)] == [
        *("capital", "delhi", "india", "is", "jay", "name", "of", "ok", "what", "your"),
    ]
    assert tokenizer.modelled_size == 10
    assert tutorial_pairs(corpus, tokenizer) == [([8, 3, 9, 5], 4), ([8, 3, 0, 6], 2)]


@pytest.mark.parametrize("text", ["你好 世界\n再见", "one two three four\nfive", "1 2 3 4 5 6"])
def test_a_text_without_five_words_in_a_line_is_no_tutorial(text: str) -> None:
    corpus = read(text).corpus
    config = resolve_config({"preset": "tutorial"}, summarize(corpus))
    error = refusal(lambda: tutorial_pairs(corpus, tutorial_tokenizer(corpus, config.tokenizer)))
    assert "preset" in str(error)


def test_pairs_and_prose_have_tutorial_lines_too() -> None:
    assert read("a b : c\nd e : f").corpus.lines() == ["a b : c", "d e : f"]
    assert Corpus("text", ("a\n\nb\n",)).lines() == ["a", "b"]


# --- the bundled samples


def test_bundled_samples() -> None:
    assert (SAMPLES / "tutorial.txt").read_bytes() == TUTORIAL
    found = read_corpus((SAMPLES / "facts.txt").read_bytes())
    assert found.corpus.layout == "pairs"
    prompts, answers = found.corpus.documents, found.corpus.completions
    assert sum(prompt.startswith("what is the capital of ") for prompt in prompts) >= 220
    assert len(set(prompts)) == len(prompts)
    assert all(prompt == prompt.lower() for prompt in prompts)
    assert all(1 <= len(answer.split()) <= 3 for answer in answers)
