"""The sizes of a network's parts, known without making one. Never imports torch."""

import math
from itertools import pairwise
from typing import NamedTuple

from lstmcore.config import ModelConfig
from lstmcore.pipelines import SPECIALS

SPECIAL_TOKENS = len(SPECIALS)
# Adaptive softmax: where its tails begin, in tokens by frequency, and how much narrower each is.
TAILS_BEGIN = (4_000, 12_000)
NARROWER = 4
# Logits that are made together: few enough to stay near the processor, and rows enough for the
# matrix products to be fast.
CHUNK_VALUES = 2 * 2**20
FEWEST_ROWS = 192


class Tail(NamedTuple):
    """A group of rare tokens of an adaptive softmax."""

    tokens: int
    width: int  # numbers that describe each of them


def tails(features: int, vocabulary: int) -> list[Tail]:
    """The tails over features (H,); none when the vocabulary fits into the head."""
    bounds = [begin for begin in TAILS_BEGIN if begin < vocabulary] + [vocabulary]
    return [
        Tail(end - begin, max(1, features // NARROWER**number))
        for number, (begin, end) in enumerate(pairwise(bounds), start=1)
    ]


def rows_at_once(vocabulary: int) -> int:
    """How many rows of logits (V,) are made together."""
    return max(FEWEST_ROWS, CHUNK_VALUES // vocabulary)


def expected_shapes(vocabulary: int, config: ModelConfig) -> dict[str, tuple[int, ...]]:
    """Name and shape of each tensor of a network, without making one.

    Written out, not asked of a network on torch's "meta" device: that costs nearly two seconds the
    first time, and the first reader of a model would wait for it.
    """
    embed, hidden, tied = config.embed_dim, config.hidden_dim, config.tie_weights
    shapes: dict[str, tuple[int, ...]] = {"embedding.weight": (vocabulary, embed)}
    for layer in range(config.layers):
        inputs = embed if layer == 0 else hidden
        shapes[f"lstm.weight_ih_l{layer}"] = (4 * hidden, inputs)
        shapes[f"lstm.weight_hh_l{layer}"] = (4 * hidden, hidden)
        shapes[f"lstm.bias_ih_l{layer}"] = (4 * hidden,)
        shapes[f"lstm.bias_hh_l{layer}"] = (4 * hidden,)
    if tied and hidden != embed:
        shapes["projection.weight"] = (embed, hidden)
    if config.softmax == "adaptive":
        more = _tied_shapes(embed, vocabulary) if tied else _adaptive_shapes(hidden, vocabulary)
        return shapes | more
    if not tied:
        shapes["output.weight"] = (vocabulary, hidden)
    return shapes | {"output.bias": (vocabulary,)}


def _adaptive_shapes(hidden: int, vocabulary: int) -> dict[str, tuple[int, ...]]:
    rare = tails(hidden, vocabulary)
    head = vocabulary - sum(tail.tokens for tail in rare) + len(rare)
    shapes: dict[str, tuple[int, ...]] = {
        "output.head.weight": (head, hidden),
        "output.head.bias": (head,),
    }
    for number, tail in enumerate(rare):
        shapes[f"output.tails.{number}.down.weight"] = (tail.width, hidden)
        shapes[f"output.tails.{number}.up.weight"] = (tail.tokens, tail.width)
        shapes[f"output.tails.{number}.up.bias"] = (tail.tokens,)
    return shapes


def _tied_shapes(embed: int, vocabulary: int) -> dict[str, tuple[int, ...]]:
    count = len(tails(embed, vocabulary))
    shapes: dict[str, tuple[int, ...]] = {
        "output.bias": (vocabulary + count,),
        "output.scores": (count, embed),
    }
    return shapes | {f"output.views.{number}": (embed, embed) for number in range(count)}


def count_parameters(config: ModelConfig, vocabulary: int) -> int:
    """Exactly the numbers a network learns, for a vocabulary of that many modelled tokens."""
    return sum(math.prod(shape) for shape in expected_shapes(vocabulary, config).values())
