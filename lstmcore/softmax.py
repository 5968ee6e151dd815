"""The output layer: how likely each token is to come next, and the loss of those that came.

Two of a kind. The full softmax computes a score for every token of the vocabulary. The adaptive
one first decides between the frequent tokens and a few groups of rare ones, and looks into a group
only where its turn comes; its probabilities are just as exact, of a network that has fewer numbers
for rare tokens. Grave et al. 2017, https://arxiv.org/abs/1609.04309.
"""

from collections.abc import Sequence

import torch
from torch import Tensor, nn

from lstmcore import shapes
from lstmcore.cross_entropy import linear_cross_entropy
from lstmcore.shapes import SPECIAL_TOKENS


class FullSoftmax(nn.Linear):
    """A linear layer from features (..., H) to logits (..., V)."""

    def loss(self, features: Tensor, targets: Tensor, count: int) -> Tensor:
        """Cross-entropy of features (N, H) and targets (N,), summed and divided by `count`."""
        return linear_cross_entropy(features, self.weight, self.bias, targets, count)


class Tail(nn.Module):
    """A group of rare tokens, told apart by fewer numbers than the features have."""

    def __init__(self, features: int, width: int, tokens: int) -> None:
        super().__init__()
        self.down = nn.Linear(features, width, bias=False)
        self.up = FullSoftmax(width, tokens)

    def forward(self, features: Tensor) -> Tensor:
        """Logits within the group (..., tokens) from features (..., H)."""
        logits: Tensor = self.up(self.down(features))
        return logits

    def loss(self, features: Tensor, targets: Tensor, count: int) -> Tensor:
        """As `FullSoftmax.loss`, within the group."""
        return self.up.loss(self.down(features), targets, count)


class AdaptiveSoftmax(nn.Module):
    """Frequent tokens in the head; rare ones in tails, which have fewer numbers for each.

    It goes by the rank of a token. Ids are ranks already (the vocabulary was learned in the order
    of frequency), but for the special tokens, whose ids are the last and whose ranks are the first.
    """

    tails: Sequence[Tail]

    def __init__(self, features: int, vocabulary: int) -> None:
        """Draw the first weights from torch's global random numbers."""
        super().__init__()
        rare = shapes.tails(features, vocabulary)
        self.vocabulary = vocabulary
        self.frequent = vocabulary - sum(tokens for tokens, _ in rare)  # tokens of the head
        self.head = FullSoftmax(features, self.frequent + len(rare))  # and a score for each tail
        self.tails = nn.ModuleList(  # type: ignore[assignment] # it is one for all we do with it
            Tail(features, width, tokens) for tokens, width in rare
        )

    def forward(self, features: Tensor) -> Tensor:
        """Log probabilities (..., V) of features (..., H), by id: they serve as logits."""
        head = self.head(features).log_softmax(-1)  # (..., frequent + tails)
        parts = [head[..., : self.frequent]]
        for column, tail in enumerate(self.tails, start=self.frequent):
            chosen = head[..., column, None]  # the log probability that this tail has its turn
            parts.append(chosen + tail(features).log_softmax(-1))
        return torch.cat(parts, -1).roll(-SPECIAL_TOKENS, -1)  # from ranks to ids

    def loss(self, features: Tensor, targets: Tensor, count: int) -> Tensor:
        """Cross-entropy of features (N, H) and targets (N,), summed and divided by `count`.

        What `forward` says of the targets, but a tail is computed for its own tokens only.
        """
        ranks = (targets + SPECIAL_TOKENS) % self.vocabulary
        of_head, begin = ranks.clone(), self.frequent
        losses = []
        for column, tail in enumerate(self.tails, start=self.frequent):
            end = begin + len(tail.up.bias)
            here = ((ranks >= begin) & (ranks < end)).nonzero()[:, 0]  # (n,)
            of_head[here] = column
            losses.append(tail.loss(features[here], ranks[here] - begin, count))
            begin = end
        return sum(losses, self.head.loss(features, of_head, count))
