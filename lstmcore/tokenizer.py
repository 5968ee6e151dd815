"""Text to token ids and back: one class around a Hugging Face `tokenizer.json`.

A vocabulary is sorted; the special tokens `<unk>`, `<eos>` and `<sep>` come after it. They are
entries that no text can spell (a text with the letters `<eos>` is split into `<`, `eos`, `>`), so
what people write never turns into them.
"""

import copy
import json
from array import array
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass
from functools import cached_property
from typing import Any

import tokenizers
from tokenizers import decoders

from lstmcore.config import TokenizerConfig
from lstmcore.errors import TokenizerError
from lstmcore.pipelines import (
    PIECE,
    SPECIALS,
    Kind,
    Piece,
    Text,
    build,
    cleaner,
    pieces,
    signature,
    signatures,
)
from lstmcore.vocabulary import checked, cleaned_parts, learn_model

BATCH_CHARACTERS = 16 * PIECE  # handed to the library at once
LARGEST_FILE = 64 * 1024 * 1024  # characters of a tokenizer.json; our largest take a tenth


@dataclass(frozen=True)
class Encoding:
    """A text as tokens."""

    ids: list[int]
    tokens: list[str]  # one for each id, as `Tokenizer.token` shows it
    unknown: list[str]  # what the vocabulary lacks, each once, in order of appearance


class Tokenizer:
    """A trained tokenizer; immutable. Equal when their files are."""

    def __init__(self, inner: tokenizers.Tokenizer, kind: Kind) -> None:
        """Wrap a tokenizer of a known kind; use `train` or `from_json`."""
        self._inner = inner
        self.kind = kind
        self.vocabulary_size: int = inner.get_vocab_size()  # special tokens included
        self.unk_id, self.eos_id, self.sep_id = range(
            self.vocabulary_size - len(SPECIALS), self.vocabulary_size
        )
        self._byte_decoder = decoders.ByteLevel()

    @classmethod
    def train(
        cls,
        config: TokenizerConfig,
        texts: Iterable[Text],
        *,
        ascii_only: bool = False,
        by_frequency: bool = False,
    ) -> "Tokenizer":
        """Learn a vocabulary of at most `config.vocab_size` tokens, specials not counted.

        A long text may come as an iterator of its blocks.

        `ascii_only` is the tutorial's rule: everything but a-z, A-Z and space is removed. Ids are
        in the order of the sorted tokens, or of their frequency, as adaptive softmax needs them.
        Raises TokenizerError when nothing is left to learn from.
        """
        kind = Kind(config.level, config.lowercase, config.strip_punctuation, ascii_only)
        return cls(build(kind, learn_model(kind, config, texts, by_frequency=by_frequency)), kind)

    @classmethod
    def from_json(cls, text: str) -> "Tokenizer":
        """Load what `to_json` wrote. Raises TokenizerError for anything else."""
        parts = _parsed(text)
        try:
            kind = signatures().get(signature(parts))
        except (TypeError, AttributeError, RecursionError, ValueError):
            kind = None
        if kind is None:
            raise TokenizerError("This tokenizer.json was not written by this software.")
        _check_vocabulary(parts["model"].get("vocab"))
        try:
            inner = tokenizers.Tokenizer.from_str(text)
        except Exception as error:  # noqa: BLE001 - the library raises nothing narrower
            raise TokenizerError(f"The tokenizer.json is damaged: {error}") from None
        if inner.get_vocab_size() != len(parts["model"]["vocab"]):
            raise TokenizerError("The tokenizer.json is damaged: its vocabulary has gaps.")
        return cls(inner, kind)

    def to_json(self) -> str:
        """The `tokenizer.json` of the Hugging Face `tokenizers` format."""
        return str(self._inner.to_str())

    def __eq__(self, other: object) -> bool:
        """Equal when the files are."""
        return isinstance(other, Tokenizer) and self.to_json() == other.to_json()

    def __hash__(self) -> int:
        """Cheap, and equal for equal tokenizers."""
        return hash((self.kind, self.vocabulary_size))

    @property
    def lossless(self) -> bool:
        """Whether `decode(encode(text).ids)` gives known text back to the letter."""
        return self.kind.lossless

    @property
    def modelled_size(self) -> int:
        """How many tokens the model covers: all, but only the words in the tutorial."""
        return self.vocabulary_size - (len(SPECIALS) if self.kind.ascii_only else 0)

    def token(self, token_id: int) -> str:
        """One token as text; part of a character (subword) shows as the replacement character."""
        if not 0 <= token_id < self.vocabulary_size:
            raise TokenizerError(f"There is no token with the id {token_id}.")
        surface = str(self._inner.id_to_token(token_id))
        if self.kind.level == "subword" and token_id < self.unk_id:
            return str(self._byte_decoder.decode([surface]))
        return surface

    def encode(self, text: str) -> Encoding:
        """Tokens of a short text such as a prompt, with what the vocabulary lacks.

        The tutorial leaves unknown words out; everywhere else they become `<unk>`.
        """
        ids = self.encode_batch([text])[0]
        surfaces = self._unknown_surfaces(text)
        return Encoding(ids, [self.token(index) for index in ids], surfaces)

    def encode_batch(self, texts: Iterable[str]) -> list[list[int]]:
        """Ids of many texts, without the report of unknown tokens."""
        return [ids.tolist() for ids in self.encode_arrays(texts)]

    def encode_arrays(self, texts: Iterable[Text]) -> Iterator["array[int]"]:
        """Ids of each text as 4-byte integers: for corpora, a tenth of the memory of lists."""
        encode = self._encode_characters if self.kind.level == "char" else self._encode_pieces
        drop = self.unk_id if self.kind.ascii_only else None
        for ids in encode(texts):
            yield ids if drop is None else array("i", [index for index in ids if index != drop])

    def decode(self, ids: Sequence[int]) -> str:
        """Text of token ids; special tokens are left out.

        The space before a continuation's first word belongs to it: decode a continuation as
        `decode(prompt_ids + new_ids)[len(decode(prompt_ids)):]`.
        """
        plain = [index for index in ids if 0 <= index < self.unk_id]
        return str(self._inner.decode(plain, skip_special_tokens=False))

    def _encode_characters(self, texts: Iterable[Text]) -> Iterator["array[int]"]:
        """Characters need no library: a table is faster and takes no extra memory."""
        cleaning = cleaner(self.kind)
        table = _Table(self.character_ids(), self.unk_id)
        for text in texts:
            ids = array("i")
            for part in cleaned_parts(text, self.kind, cleaning):
                ids.extend(map(table.__getitem__, part))
            yield ids

    def _encode_pieces(self, texts: Iterable[Text]) -> Iterator["array[int]"]:
        """Encode pieces of all texts in batches, and put the texts together again."""
        ids: array[int] = array("i")
        for batch in batches_of_pieces(texts, self.kind):
            encodings = self.encode_pieces([piece for piece, _ in batch])
            for (_, is_last), encoded in zip(batch, encodings, strict=True):
                ids.extend(encoded)
                if is_last:
                    yield ids
                    ids = array("i")

    def encode_pieces(self, batch: Sequence[Piece]) -> list[list[int]]:
        """Ids of each piece; for words and subwords, on all cores (other threads may go on)."""
        found: list[list[int]] = [[]] * len(batch)
        for tokenizer, continues in ((self._inner, False), (self._continuing, True)):
            where = [i for i, piece in enumerate(batch) if piece.continues is continues]
            if where:
                texts = [checked(batch[i].text) for i in where]
                encodings = tokenizer.encode_batch_fast(texts, add_special_tokens=False)
                for i, encoding in zip(where, encodings, strict=True):
                    found[i] = encoding.ids
        return found

    @cached_property
    def _continuing(self) -> tokenizers.Tokenizer:
        """The same tokenizer for text that goes on in the middle of a run."""
        twin = copy.deepcopy(self._inner)
        twin.normalizer = cleaner(self.kind)
        return twin

    def character_ids(self) -> dict[str, int]:
        """The vocabulary of a character tokenizer, the special tokens with it."""
        return dict(self._inner.get_vocab(with_added_tokens=False))

    def _unknown_surfaces(self, text: str) -> list[str]:
        if self.kind.level == "subword":
            return []  # bytes spell everything
        cleaning = self._inner.normalizer
        cleaned = cleaning.normalize_str(text) if cleaning else text
        split = self._inner.pre_tokenizer.pre_tokenize_str(cleaned)
        return list(
            dict.fromkeys(
                surface.removeprefix(" ") or surface
                for surface, _ in split
                if self._inner.token_to_id(surface) is None
            )
        )


class _Table(dict[str, int]):
    """Ids of characters; one that is missing is unknown."""

    def __init__(self, vocabulary: dict[str, int], unk_id: int) -> None:
        super().__init__(vocabulary)
        self.unk_id = unk_id

    def __missing__(self, _: str) -> int:
        return self.unk_id


def batches_of_pieces(texts: Iterable[Text], kind: Kind) -> Iterator[list[tuple[Piece, bool]]]:
    """Pieces, each with whether it ends its text, in lists of about a million characters."""
    batch: list[tuple[Piece, bool]] = []
    characters = 0
    for text in texts:
        waiting: Piece | None = None
        for piece in pieces(text, kind):
            if waiting is not None:
                batch.append((waiting, False))
            waiting = piece
            characters += len(piece.text) + 1
            if characters > BATCH_CHARACTERS:
                yield batch
                batch, characters = [], 0
        if waiting is not None:
            batch.append((waiting, True))
    yield batch


def _parsed(text: str) -> dict[str, Any]:
    if len(text) > LARGEST_FILE:
        raise TokenizerError("The tokenizer.json is far too large.")
    try:
        parts = json.loads(checked(text))
    except (ValueError, RecursionError):
        raise TokenizerError("The tokenizer.json is damaged: it is not JSON.") from None
    if not isinstance(parts, dict) or not isinstance(parts.get("model"), dict):
        raise TokenizerError("The tokenizer.json is damaged: it has no model.")
    return parts


def _check_vocabulary(vocabulary: object) -> None:
    """Ids from 0 without gaps, and the special tokens last."""
    if isinstance(vocabulary, dict) and all(type(index) is int for index in vocabulary.values()):
        by_id = sorted(vocabulary, key=vocabulary.__getitem__)
        gapless = sorted(vocabulary.values()) == list(range(len(vocabulary)))
        if gapless and len(by_id) > len(SPECIALS) and tuple(by_id[-3:]) == SPECIALS:
            return
    raise TokenizerError("The tokenizer.json is damaged: its vocabulary is not in order.")
