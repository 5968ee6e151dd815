"""Batches: a corpus as tensors of token ids, in an order that depends on seed and epoch alone.

Any batch can be asked for at any time (`batch(epoch, position)`), which is what lets a training
go on exactly where it stopped. Texts and lines are cut into parallel streams that are read on and
on with the state carried along; pairs are padded to a rectangle.
"""

import hashlib
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import Protocol

import numpy as np
import torch
from torch import Tensor

from lstmcore.config import TrainingConfig
from lstmcore.encoding import Ids
from lstmcore.errors import TrainingError
from lstmcore.ring import JOINED_TOKENS, Array, Ring, Streams

IGNORED = -100  # a target at which no loss is taken (torch's own number for it)
LONGEST_PAIR = 4096  # tokens; more of a pair is cut off
TOKENS_A_PAIR_BATCH = 65_536  # long pairs are read fewer at a time, to bound memory
SORTED_BATCHES = 32  # batches within which pairs are sorted by length, to pad less
TOKENS_A_GROUP = 8192  # lines that stay together where there are too many to shuffle one by one
HELD_OUT_PIECES = 16  # where text is held out everywhere, and how long each is at least
HELD_OUT_TOKENS = 500
EVALUATION_WINDOW = 64  # tokens of each stream at a time: the logits of more take much memory


@dataclass(frozen=True)
class Batch:
    """Token ids and what should follow them."""

    inputs: Tensor  # (B, T) int64
    targets: Tensor  # (B, T) int64, or (B,): at the last position only
    tokens: int  # targets at which loss is taken

    def to(self, device: torch.device) -> "Batch":
        """The same on a device."""
        return Batch(self.inputs.to(device), self.targets.to(device), self.tokens)


class Batches(Protocol):
    """The training batches of a corpus and the held-out ones."""

    steps_per_epoch: int
    carries_state: bool  # each batch goes on where the one before it ended
    streams: int  # B of the carried state
    tokens_per_epoch: int  # targets
    validation_tokens: int  # 0: nothing is held out

    def batch(self, epoch: int, position: int) -> Batch:
        """Batch number `position` of epoch number `epoch`, both from 0."""
        ...

    def validation(self) -> Iterator[Batch]:
        """The held-out batches, in order."""
        ...


def derived_seed(*parts: int | str) -> int:
    """A seed of its own for each purpose, made from the numbers that decide it (63 bits)."""
    digest = hashlib.sha256(repr(parts).encode()).digest()
    return int.from_bytes(digest[:8], "big") >> 1


def _generator(*parts: int | str) -> torch.Generator:
    return torch.Generator().manual_seed(derived_seed(*parts))


def held_out(count: int, fraction: float, seed: int) -> tuple[Array, Array]:
    """Split `count` items into those trained on and a seeded choice of `fraction` of them."""
    chosen = int(count * fraction)
    order = torch.randperm(count, generator=_generator("held out", seed)).numpy()
    return np.sort(order[chosen:]), np.sort(order[:chosen])


class StreamBatches:
    """Documents joined to one long ring, read as parallel streams with the state carried along.

    Every document ends in `<eos>`. The ring is cut anew each epoch: lines come in another order, a
    text starts at another place, so that windows never end at the same words again. A text shorter
    than a full batch gets fewer streams and shorter windows.
    """

    carries_state = True

    def __init__(
        self, training: Ring, validation: Ring, config: TrainingConfig, *, shuffled: bool
    ) -> None:
        """Take rings of documents with their `<eos>`; `shuffled`: its pieces may change places."""
        self._ring, self._shuffled, self._seed = training, shuffled, config.seed
        total = len(training)
        self.streams = max(1, min(config.batch_size, total // config.bptt))
        self._columns = total // self.streams
        # windows of about the same width: a last one of a token or two would be a wild step
        self.steps_per_epoch = -(-self._columns // config.bptt)
        self._window = -(-self._columns // self.steps_per_epoch)
        self.tokens_per_epoch = self.streams * self._columns
        self._epoch = -1
        self._streams: Streams | None = None  # of self._epoch
        self._validation, self._config = validation, config
        self.validation_tokens = max(0, len(validation) - 1)

    def batch(self, epoch: int, position: int) -> Batch:
        """The window `position` of all streams in epoch `epoch`: (B, T) each."""
        if self._streams is None or epoch != self._epoch:
            self._streams = None  # its memory is given back first
            self._streams = Streams(self._ring_of(epoch), self.streams, self._columns)
            self._epoch = epoch
        inputs, targets = self._streams.window(position * self._window, self._window)
        return Batch(inputs, targets, targets.numel())

    def validation(self) -> Iterator[Batch]:
        """The held-out tokens from the start to the end, a few streams side by side."""
        return in_order(self._validation, self._config)

    def check_validation(self, unk_id: int, eos_id: int) -> None:
        """Refuse held-out text of which nothing is known: no loss on it means anything."""
        known = (
            ((batch.targets != unk_id) & (batch.targets != eos_id)).any()
            for batch in self.validation()
        )
        if self.validation_tokens > 1 and not any(known):
            raise TrainingError(
                "The vocabulary knows no token of the held-out text, so nothing can be measured.",
                "Lower min_count, raise vocab_size, or set validation_fraction to 0.",
            )

    def _ring_of(self, epoch: int) -> Ring:
        if epoch == 0:
            return self._ring
        if self._shuffled and self._ring.pieces > 1:
            generator = _generator("documents", self._seed, epoch)
            return self._ring.reordered(torch.randperm(self._ring.pieces, generator=generator))
        generator = _generator("offset", self._seed, epoch)
        return self._ring.rolled(int(torch.randint(len(self._ring), (1,), generator=generator)))


def in_order(ring: Ring, config: TrainingConfig) -> Iterator[Batch]:
    """Every token of a ring but the last with what follows it, a few streams side by side."""
    tokens = len(ring) - 1
    if tokens < 1:
        return
    count = max(1, min(config.batch_size, tokens // (4 * config.bptt)))
    columns = tokens // count
    streams = Streams(ring, count, columns)
    for start in range(0, columns, EVALUATION_WINDOW):
        inputs, targets = streams.window(start, EVALUATION_WINDOW)
        yield Batch(inputs, targets, targets.numel())


@dataclass(frozen=True)
class Pair:
    """Token ids of prompt `<sep>` completion `<eos>`; the completion begins at `answer`."""

    ids: Tensor  # (T,) int32
    answer: int

    @classmethod
    def join(cls, prompt: Sequence[int], completion: Sequence[int], sep: int, eos: int) -> "Pair":
        """Join the two; of a very long pair the nearest part of the prompt is kept."""
        answer = [*completion[: LONGEST_PAIR // 2], eos]
        asked = prompt[max(0, len(prompt) - LONGEST_PAIR // 2) :]
        return cls(torch.tensor([*asked, sep, *answer], dtype=torch.int32), len(asked) + 1)


class PairBatches:
    """Pairs padded to the longest of their batch; loss on the completion and its `<eos>` only."""

    carries_state = False

    def __init__(
        self, training: Sequence[Pair], validation: Sequence[Pair], config: TrainingConfig
    ) -> None:
        """Take at least one pair to train on."""
        self._pairs = training
        self._seed = config.seed
        self._lengths = torch.tensor([len(pair.ids) for pair in training])
        longest = int(self._lengths.max())
        most = max(1, min(config.batch_size, TOKENS_A_PAIR_BATCH // longest))
        self.steps_per_epoch = -(-len(training) // most)
        self.streams = -(-len(training) // self.steps_per_epoch)  # batches of about the same size
        self.tokens_per_epoch = sum(len(pair.ids) - pair.answer for pair in training)
        self._epoch = -1
        self._order: list[Tensor] = []  # of self._epoch: the pairs of each batch
        self._validation = sorted(validation, key=lambda pair: len(pair.ids))
        self.validation_tokens = sum(len(pair.ids) - pair.answer for pair in validation)

    def batch(self, epoch: int, position: int) -> Batch:
        """The padded batch `position` of epoch `epoch`."""
        if epoch != self._epoch:
            self._order = self._shuffled(epoch)
            self._epoch = epoch
        return padded([self._pairs[index] for index in self._order[position].tolist()])

    def validation(self) -> Iterator[Batch]:
        """The held-out pairs, short ones first."""
        for start in range(0, len(self._validation), self.streams):
            yield padded(self._validation[start : start + self.streams])

    def _shuffled(self, epoch: int) -> list[Tensor]:
        """Shuffle pairs, sort them by length in larger groups, cut batches, shuffle batches."""
        generator = _generator("pairs", self._seed, epoch)
        order = torch.randperm(len(self._pairs), generator=generator)
        groups = torch.split(order, SORTED_BATCHES * self.streams)
        by_length = torch.cat(
            [group[self._lengths[group].argsort(stable=True)] for group in groups]
        )
        batches = torch.split(by_length, self.streams)
        return [batches[index] for index in torch.randperm(len(batches), generator=generator)]


def padded(pairs: Sequence[Pair]) -> Batch:
    """Put pairs side by side: inputs (B, T) padded with 0, targets (B, T) IGNORED elsewhere."""
    width = max(len(pair.ids) for pair in pairs) - 1
    inputs = torch.zeros(len(pairs), width, dtype=torch.int64)
    targets = torch.full((len(pairs), width), IGNORED)
    for row, pair in enumerate(pairs):
        inputs[row, : len(pair.ids) - 1] = pair.ids[:-1]
        targets[row, pair.answer - 1 : len(pair.ids) - 1] = pair.ids[pair.answer :]
    return Batch(inputs, targets, int((targets != IGNORED).sum()))


def split_text(ids: Ids, config: TrainingConfig) -> StreamBatches:
    """One text: its last part is held out, or pieces of all of it."""
    values, size = ids.values, max(0, len(ids.values) - 1)  # the last one is `<eos>`
    count = int(size * config.validation_fraction)
    if count == size:
        raise _nothing_to_learn()
    pieces = max(1, min(HELD_OUT_PIECES, count // HELD_OUT_TOKENS))
    if config.validation_from == "end" or count == 0:
        starts, lengths = np.array([size - count]), np.array([count])
    else:  # a piece in the middle of each part of the text
        parts, some = np.linspace(0, size, pieces + 1).astype(np.int64), count // pieces
        starts, lengths = (parts[:-1] + parts[1:] - some) // 2, np.full(pieces, some)
    ends = starts + lengths
    kept = Ring(values, np.append(0, ends), np.append(starts, size + 1) - np.append(0, ends))
    if config.validation_from == "end" and count:
        lengths += 1  # its `<eos>` too
    return StreamBatches(kept, Ring(values, starts, lengths), config, shuffled=False)


def split_lines(ids: Ids, config: TrainingConfig) -> StreamBatches:
    """Lines of which a seeded choice is held out; of very many, neighbours stay together."""
    values, lengths = ids.values, ids.lengths.astype(np.int64)
    if len(values) > JOINED_TOKENS:
        lengths = _neighbours(lengths)
    starts = lengths.cumsum() - lengths
    kept, chosen = held_out(len(lengths), config.validation_fraction, config.seed)
    if len(kept) == 0:
        raise _nothing_to_learn()
    training = Ring(values, starts[kept], lengths[kept])
    # what is held out is read after the end of a line
    ends = np.array([len(values) - 1] if len(chosen) else [], np.int64)
    held = Ring(values, np.append(ends, starts[chosen]), np.append(ends * 0 + 1, lengths[chosen]))
    return StreamBatches(training, held, config, shuffled=True)


def _neighbours(lengths: Array) -> Array:
    """Lengths of groups of whole lines, each of about TOKENS_A_GROUP tokens."""
    group = (lengths.cumsum() - 1) // TOKENS_A_GROUP
    last = np.flatnonzero(np.diff(group, append=-1))  # the last line of each group
    return np.diff(lengths.cumsum()[last], prepend=0)


def split_pairs(pairs: Sequence[Pair], config: TrainingConfig) -> PairBatches:
    """Pairs of which a seeded choice is held out."""
    kept, chosen = held_out(len(pairs), config.validation_fraction, config.seed)
    if len(kept) == 0:
        raise _nothing_to_learn()
    return PairBatches([pairs[index] for index in kept], [pairs[index] for index in chosen], config)


def _nothing_to_learn() -> TrainingError:
    return TrainingError(
        "No token of this text is left to learn from.",
        "Give it more text, or tokenizer settings that keep more of it.",
    )
