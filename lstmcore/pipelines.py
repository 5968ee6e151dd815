"""How each kind of tokenizer cleans, splits and joins text, in the terms of `tokenizers`.

A pipeline is decided by four things only (`Kind`), so a stored tokenizer is recognised by comparing
its parts with those we write: nothing else in a file is ever run.

Words carry the space before them (`" india"`), and every line is given one at its start, so a word
is the same token wherever it stands and joining tokens gives the text back to the letter.
"""

import json
import re
from collections.abc import Iterable, Iterator
from functools import cache
from itertools import chain, product
from typing import Any, Literal, NamedTuple

import tokenizers
from tokenizers import Regex, decoders, models, normalizers, pre_tokenizers

from lstmcore.errors import TokenizerError

SPECIALS = ("<unk>", "<eos>", "<sep>")  # the last ids of every vocabulary, in this order

# Scripts written without spaces: every character is a word of its own.
_UNSPACED = r"\p{Han}\p{Hiragana}\p{Katakana}\p{Thai}\p{Lao}\p{Khmer}\p{Myanmar}"
_LETTER = rf"[[\p{{L}}\p{{M}}\p{{N}}_]&&[^{_UNSPACED}]]"
_WORD = (
    rf" ?[{_UNSPACED}]"
    rf"| ?{_LETTER}+(?:['’]{_LETTER}+)*"  # noqa: RUF001 - people type both apostrophes
    r"| ?[^\s\p{L}\p{M}\p{N}_]"
    r"|\s"
)
# Runs that subwords are learned in; bounded, as learning takes quadratic time in their length.
_RUN = (
    r"'(?:[sdmt]|ll|ve|re)"
    r"| ?[\p{L}\p{M}]{1,64}"
    r"| ?\p{N}{1,64}"
    r"| ?[^\s\p{L}\p{M}\p{N}]{1,64}"
    r"|\s{1,64}(?!\S)|\s{1,64}"
)
_NOT_A_TO_Z = "[^a-zA-Z ]"
_PUNCTUATION = r"[^\p{L}\p{M}\p{N}_\s]"

# Long texts are handed over in pieces: the library needs some hundred bytes for each character.
PIECE = 1 << 16
LONGEST_WORD = 1 << 20
_SPACED_CUT = re.compile(r"(?<=\S)[ \n](?=\S)")
_BLANK_CUT = re.compile(r"(?<=[^\n])(?=[ \n\t])|(?<=\n)(?=\n)")  # between or before blanks
_CHARACTER_WORD = "[\u0e01-\u0e2e\u3041-\u3096\u30a1-\u30fa\u4e00-\u9fa5]"  # a safe part of them
_UNSPACED_CUT = re.compile(f"(?<={_CHARACTER_WORD})(?={_CHARACTER_WORD})")


Text = str | Iterator[str]  # a text, or the blocks of a long one


class Kind(NamedTuple):
    """What decides a pipeline."""

    level: Literal["char", "word", "subword"]
    lowercase: bool
    strip_punctuation: bool
    ascii_only: bool = False  # the tutorial's rule: everything but a-z, A-Z and space is removed

    @property
    def lossless(self) -> bool:
        """Whether decoding gives the text back to the letter."""
        return not (self.lowercase or self.strip_punctuation or self.ascii_only)

    @property
    def words_only(self) -> bool:
        """Whether tokens are bare words, joined by one space."""
        return self.level == "word" and (self.strip_punctuation or self.ascii_only)


class Piece(NamedTuple):
    """A part of a long text, cut where tokens meet."""

    text: str
    continues: bool  # it does not begin a word: no space goes before it


def build(kind: Kind, model: models.Model) -> tokenizers.Tokenizer:
    """A tokenizer of this kind around a model (a vocabulary)."""
    tokenizer = tokenizers.Tokenizer(model)
    steps = _cleaning(kind)
    if kind.level != "char" and not kind.words_only:
        steps += [normalizers.Replace(Regex(r"\n(?=[^\n])"), "\n "), normalizers.Prepend(" ")]
    if steps:
        tokenizer.normalizer = normalizers.Sequence(steps)
    if kind.words_only:
        tokenizer.pre_tokenizer = pre_tokenizers.WhitespaceSplit()
        return tokenizer  # without a decoder, tokens are joined by one space
    line_starts = decoders.Replace(Regex(r"\A |(?<=\n) "), "")
    if kind.level == "char":
        tokenizer.pre_tokenizer = pre_tokenizers.Split(Regex(r"[\s\S]"), "isolated")
        tokenizer.decoder = decoders.Fuse()
    elif kind.level == "word":
        tokenizer.pre_tokenizer = pre_tokenizers.Split(Regex(_WORD), "isolated")
        tokenizer.decoder = decoders.Sequence([decoders.Fuse(), line_starts])
    else:
        tokenizer.pre_tokenizer = pre_tokenizers.Sequence(
            [
                pre_tokenizers.Split(Regex(_RUN), "isolated"),
                pre_tokenizers.ByteLevel(add_prefix_space=False, use_regex=False),
            ]
        )
        tokenizer.decoder = decoders.Sequence([decoders.ByteLevel(), line_starts])
    return tokenizer


def _cleaning(kind: Kind) -> list[normalizers.Normalizer]:
    steps: list[normalizers.Normalizer] = []
    if kind.lowercase:
        steps.append(normalizers.Lowercase())
    if kind.ascii_only:
        steps.append(normalizers.Replace(Regex(_NOT_A_TO_Z), ""))
    elif kind.strip_punctuation:
        steps.append(normalizers.Replace(Regex(_PUNCTUATION), ""))
    return steps


def cleaner(kind: Kind) -> normalizers.Normalizer | None:
    """Only the cleaning of a kind: no spaces are added. Right for pieces that continue."""
    steps = _cleaning(kind)
    if kind.level != "char" and not kind.words_only:
        steps.append(normalizers.Replace(Regex(r"\n(?=[^\n])"), "\n "))
    return normalizers.Sequence(steps) if steps else None


def signature(parts: dict[str, Any]) -> str:
    """What makes two tokenizer files the same pipeline, whatever their vocabularies."""
    model = {
        name: value for name, value in parts["model"].items() if name not in ("vocab", "merges")
    }
    return json.dumps({**parts, "model": model}, sort_keys=True)


@cache
def signatures() -> dict[str, Kind]:
    """The signature of every kind there is."""
    levels: tuple[Literal["char", "word", "subword"], ...] = ("char", "word", "subword")
    kinds = [Kind(*choice) for choice in product(levels, (False, True), (False, True))]
    kinds.append(Kind("word", lowercase=True, strip_punctuation=True, ascii_only=True))
    return {signature(json.loads(build(kind, empty_model(kind)).to_str())): kind for kind in kinds}


def empty_model(kind: Kind) -> models.Model:
    """A model without vocabulary."""
    return models.BPE() if kind.level == "subword" else models.WordLevel(unk_token=SPECIALS[0])


def pieces(text: Text, kind: Kind) -> Iterator[Piece]:
    """Cut a long text where tokens meet, so that its pieces give the tokens of the whole.

    Where it is cut does not depend on the blocks that it comes in. Raises TokenizerError when a
    "word" is longer than a million characters.
    """
    whole, start, continues = "", 0, False
    enough = PIECE + LONGEST_WORD + 1  # a cut looks no further ahead
    for block, least in chain(((block, enough) for block in _blocks(text)), (("", PIECE),)):
        whole, start = whole[start:] + block, 0
        while len(whole) - start > least:
            cut, after, breaks_run = _cut(whole, start + PIECE, kind)
            yield Piece(whole[start:cut], continues)
            start, continues = after, breaks_run
    yield Piece(whole[start:], continues)


def _blocks(text: Text) -> Iterable[str]:
    return (text,) if isinstance(text, str) else text


def _cut(text: str, at: int, kind: Kind) -> tuple[int, int, bool]:
    """(end of this piece, start of the next, whether that one continues a run) near `at`."""
    if kind.level == "char":
        return at, at, True
    for pattern, reach in (
        (_SPACED_CUT, PIECE),
        (_UNSPACED_CUT, PIECE),
        (_BLANK_CUT, PIECE if kind.level == "subword" else LONGEST_WORD),
    ):
        found = pattern.search(text, at, at + reach)
        if found is None:
            continue
        if found.group() == " ":  # the space goes before the next piece anyway
            return found.start(), found.end(), False
        return found.end(), found.end(), found.group() != "\n"
    if kind.level == "subword":  # a long run is split anyway
        return at, at, text[at - 1] != "\n" or text[at] == "\n"
    if len(text) - at <= LONGEST_WORD:
        return len(text), len(text), True
    raise TokenizerError(
        "The text has more than a million characters without a space or a new line, too many for "
        "one word: use characters or subwords instead (preset char or subword)."
    )
