"""The lesson's own rule for what is learned: four words of a line, then the fifth."""

from collections.abc import Sequence
from typing import NamedTuple

from lstmcore.config import TokenizerConfig
from lstmcore.corpus import Corpus
from lstmcore.errors import CorpusError
from lstmcore.tokenizer import Tokenizer

CONTEXT_WORDS = 4


class TutorialPair(NamedTuple):
    """What the lesson trains on: the ids of four words, and the id of the word that follows."""

    context: list[int]
    target: int


def tutorial_tokenizer(corpus: Corpus, config: TokenizerConfig) -> Tokenizer:
    """Vocabulary of all cleaned lines. Raises CorpusError when cleaning leaves nothing."""
    lines = corpus.lines()
    if not any(character in _A_TO_Z for line in lines for character in line):
        raise CorpusError(
            "Nothing is left of the text: the tutorial keeps only the letters a to z. "
            "Choose the char, word or subword preset for other scripts."
        )
    return Tokenizer.train(config, lines, ascii_only=True)


_A_TO_Z = frozenset("abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ")


def tutorial_pairs(corpus: Corpus, tokenizer: Tokenizer) -> list[TutorialPair]:
    """One pair for every line of five words or more; shorter lines give vocabulary only.

    Raises CorpusError when there is no such line.
    """
    pairs = _pairs(tokenizer.encode_batch(corpus.lines()))
    if not pairs:
        raise CorpusError(
            "No line has five words: the tutorial learns the fifth word of a line from the first "
            "four. Add longer lines, or choose another preset."
        )
    return pairs


def _pairs(lines: Sequence[list[int]]) -> list[TutorialPair]:
    return [
        TutorialPair(ids[:CONTEXT_WORDS], ids[CONTEXT_WORDS])
        for ids in lines
        if len(ids) > CONTEXT_WORDS
    ]
