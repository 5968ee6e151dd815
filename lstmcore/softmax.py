"""The output layer: how likely each token is to come next, and the loss of those that came.

Two of a kind. The full softmax computes a score for every token of the vocabulary. The adaptive
one first decides between the frequent tokens and a few groups of rare ones, and looks into a group
only where its turn comes; its probabilities are just as exact, of a network that has fewer numbers
for rare tokens. Grave et al. 2017, https://arxiv.org/abs/1609.04309. Tied, its numbers for a token
are those of the embedding, and each group sees the features through a matrix of its own.
"""

from abc import ABC, abstractmethod
from collections.abc import Iterable, Sequence
from typing import NamedTuple

import torch
from torch import Tensor, nn
from torch.nn.functional import linear

from lstmcore import shapes
from lstmcore.cross_entropy import linear_cross_entropy
from lstmcore.shapes import SPECIAL_TOKENS


class FullSoftmax(nn.Linear):
    """A linear layer from features (..., H) to logits (..., V)."""

    def loss(self, features: Tensor, targets: Tensor, count: int) -> Tensor:
        """Cross-entropy of features (N, H) and targets (N,), summed and divided by `count`."""
        return linear_cross_entropy(features, self.weight, self.bias, targets, count)


class Group(NamedTuple):
    """The tokens of a tail, which are told apart among themselves."""

    view: Tensor  # (W, H): what of the features counts here
    weight: Tensor  # (tokens, W)
    bias: Tensor  # (tokens,)


class AdaptiveSoftmax(nn.Module, ABC):
    """Frequent tokens in the head, rare ones in tails.

    It goes by the rank of a token. Ids are ranks already (the vocabulary was learned in the order
    of frequency), but for the special tokens, whose ids are the last and whose ranks are the first.
    """

    def __init__(self, vocabulary: int, rare: Iterable[int]) -> None:
        """With so many tokens in each tail; the others are in the head."""
        super().__init__()
        self.vocabulary = vocabulary
        self.frequent = vocabulary - sum(rare)  # tokens of the head

    @abstractmethod
    def groups(self) -> tuple[Tensor, Tensor, list[Group]]:
        """Weight and bias of the head, with the tails' scores behind its tokens; the tails."""

    def forward(self, features: Tensor) -> Tensor:
        """Log probabilities (..., V) of features (..., H), by id: they serve as logits."""
        weight, bias, tails = self.groups()
        head = linear(features, weight, bias).log_softmax(-1)  # (..., frequent + tails)
        parts = [head[..., : self.frequent]]
        for column, tail in enumerate(tails, start=self.frequent):
            within = linear(linear(features, tail.view), tail.weight, tail.bias).log_softmax(-1)
            chosen = head[..., column, None]  # the log probability that this tail has its turn
            parts.append(chosen + within)
        return torch.cat(parts, -1).roll(-SPECIAL_TOKENS, -1)  # from ranks to ids

    def loss(self, features: Tensor, targets: Tensor, count: int) -> Tensor:
        """Cross-entropy of features (N, H) and targets (N,), summed and divided by `count`.

        What `forward` says of the targets, but a tail is computed for its own tokens only.
        """
        weight, bias, tails = self.groups()
        ranks = (targets + SPECIAL_TOKENS) % self.vocabulary
        of_head, begin = ranks.clone(), self.frequent
        losses = []
        for column, tail in enumerate(tails, start=self.frequent):
            end = begin + len(tail.bias)
            here = ((ranks >= begin) & (ranks < end)).nonzero()[:, 0]  # (n,)
            of_head[here] = column
            seen, within = linear(features[here], tail.view), ranks[here] - begin
            losses.append(linear_cross_entropy(seen, tail.weight, tail.bias, within, count))
            begin = end
        return sum(losses, linear_cross_entropy(features, weight, bias, of_head, count))


class Tail(nn.Module):
    """A group of rare tokens, told apart by fewer numbers than the features have."""

    def __init__(self, features: int, width: int, tokens: int) -> None:
        super().__init__()
        self.down = nn.Linear(features, width, bias=False)
        self.up = FullSoftmax(width, tokens)


class NarrowingSoftmax(AdaptiveSoftmax):
    """The adaptive softmax that has fewer numbers for a token the rarer it is."""

    tails: Sequence[Tail]

    def __init__(self, features: int, vocabulary: int) -> None:
        """Over features (..., H). Draws the first weights from torch's global random numbers."""
        rare = shapes.tails(features, vocabulary)
        super().__init__(vocabulary, (tokens for tokens, _ in rare))
        self.head = FullSoftmax(features, self.frequent + len(rare))  # and a score for each tail
        self.tails = nn.ModuleList(  # type: ignore[assignment] # it is one for all we do with it
            Tail(features, width, tokens) for tokens, width in rare
        )

    def groups(self) -> tuple[Tensor, Tensor, list[Group]]:
        """Weight and bias of the head, with the tails' scores behind its tokens; the tails."""
        tails = [Group(tail.down.weight, tail.up.weight, tail.up.bias) for tail in self.tails]
        return self.head.weight, self.head.bias, tails


class TiedAdaptiveSoftmax(AdaptiveSoftmax):
    """The adaptive softmax whose numbers for the tokens are the embedding's."""

    def __init__(self, embedding: nn.Embedding) -> None:
        """Over features (..., E), as many as the embedding has numbers for a token."""
        vocabulary, width = embedding.weight.shape
        sizes = [tail.tokens for tail in shapes.tails(width, vocabulary)]
        super().__init__(vocabulary, sizes)
        self.embedding = embedding
        self.scores = nn.Parameter(torch.zeros(len(sizes), width))  # of the tails, in the head
        self.bias = nn.Parameter(torch.zeros(vocabulary + len(sizes)))
        self.views = nn.ParameterList(torch.eye(width) for _ in sizes)  # of the tails
        self._by_id = [self.frequent - SPECIAL_TOKENS, *sizes, SPECIAL_TOKENS]
        self._by_rank = [self.frequent + len(sizes), *sizes]

    def groups(self) -> tuple[Tensor, Tensor, list[Group]]:
        """Weight and bias of the head, with the tails' scores behind its tokens; the tails."""
        frequent, *rare, special = torch.split(self.embedding.weight, self._by_id)
        of_head, *biases = torch.split(self.bias, self._by_rank)
        head = torch.cat([special, frequent, self.scores])
        tails = map(Group, self.views, rare, biases)
        return head, of_head, list(tails)
