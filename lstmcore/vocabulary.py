"""Learning a vocabulary: which tokens there are, from the texts of a corpus."""

import json
from collections import Counter
from collections.abc import Iterable, Iterator
from itertools import chain

from tokenizers import models, normalizers, pre_tokenizers, trainers

from lstmcore.config import TokenizerConfig
from lstmcore.errors import TokenizerError
from lstmcore.pipelines import SPECIALS, Kind, Text, build, cleaner, empty_model, pieces


def learn_model(
    kind: Kind, config: TokenizerConfig, texts: Iterable[Text], *, by_frequency: bool = False
) -> models.Model:
    """A model with a sorted vocabulary of at most `config.vocab_size` tokens, then the specials.

    Sorted as text, or `by_frequency`, the frequent ones first. Subwords are in the order they were
    learned, which is nearly that of frequency. Raises TokenizerError when there is nothing.
    """
    if kind.level == "subword":
        return _train_subwords(kind, config, texts)
    count = _count_characters if kind.level == "char" else _count_words
    vocabulary = count(kind, config, texts)
    if not by_frequency:
        vocabulary.sort()
    if not vocabulary:
        raise TokenizerError(_nothing_left(kind, config))
    entries = {token: index for index, token in enumerate(chain(vocabulary, SPECIALS))}
    return models.WordLevel(entries, unk_token=SPECIALS[0])


def checked(text: str) -> str:
    """Refuse half characters, which cannot be written as UTF-8 and which the library crashes on."""
    try:
        text.encode()
    except UnicodeEncodeError as error:
        raise TokenizerError(
            f"The text has half a character (a lone surrogate) at position {error.start}."
        ) from None
    return text


def cleaned_parts(text: Text, kind: Kind, cleaning: normalizers.Normalizer | None) -> Iterator[str]:
    """A text piece by piece, cleaned; pieces meet without anything between them (char level)."""
    for piece in pieces(text, kind):
        part = checked(piece.text)
        yield cleaning.normalize_str(part) if cleaning else part


def _count_characters(kind: Kind, config: TokenizerConfig, texts: Iterable[Text]) -> list[str]:
    """The characters to keep, the frequent ones first."""
    counts: Counter[str] = Counter()
    cleaning = cleaner(kind)
    for text in texts:
        for part in cleaned_parts(text, kind, cleaning):
            counts.update(part)
    # the most frequent first, then by code point, so that the choice never depends on order
    kept = sorted(counts.items(), key=lambda item: (-item[1], item[0]))[: config.vocab_size]
    return [character for character, count in kept if count >= config.min_count]


def _count_words(kind: Kind, config: TokenizerConfig, texts: Iterable[Text]) -> list[str]:
    """The words to keep, the frequent ones first."""
    learner = build(kind, empty_model(kind))
    trainer = trainers.WordLevelTrainer(
        vocab_size=config.vocab_size,
        min_frequency=config.min_count,
        show_progress=False,
        special_tokens=[],
    )
    learner.train_from_iterator(_training_texts(texts, kind), trainer)
    found = learner.get_vocab(with_added_tokens=False)  # numbered by frequency, then as text
    return sorted(found, key=found.__getitem__)


def _train_subwords(kind: Kind, config: TokenizerConfig, texts: Iterable[Text]) -> models.BPE:
    learner = build(kind, empty_model(kind))
    trainer = trainers.BpeTrainer(
        vocab_size=config.vocab_size,
        min_frequency=config.min_count,
        show_progress=False,
        special_tokens=[],
        initial_alphabet=pre_tokenizers.ByteLevel.alphabet(),
    )
    learner.train_from_iterator(_training_texts(texts, kind), trainer)
    learned = json.loads(learner.to_str())["model"]
    entries: dict[str, int] = learned["vocab"]
    entries |= {token: len(entries) + index for index, token in enumerate(SPECIALS)}
    return models.BPE(entries, [(left, right) for left, right in learned["merges"]])


def _training_texts(texts: Iterable[Text], kind: Kind) -> Iterator[str]:
    return (checked(piece.text) for text in texts for piece in pieces(text, kind))


def _nothing_left(kind: Kind, config: TokenizerConfig) -> str:
    if kind.ascii_only:
        return (
            "Nothing is left of the text: this preset keeps only the letters a to z. "
            "Choose the char, word or subword preset for other scripts."
        )
    if config.min_count > 1:
        return f"No token occurs {config.min_count} times: lower min_count, or give a longer text."
    return "The text has no tokens to learn: give some text with letters in it."
