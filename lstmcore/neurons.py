"""Which memory cells are worth a look in a text, and why: their values token by token.

Neurons that follow a readable feature of a text (quotes, line lengths) were shown by Karpathy,
Johnson and Fei-Fei 2015, https://arxiv.org/abs/1506.02078. Here each neuron's values are correlated
with features that people can see; a correlation over one text suggests, and proves nothing.
"""

import re
from collections import Counter
from collections.abc import Callable, Sequence
from typing import TypedDict

import torch
from torch import Tensor

from lstmcore.errors import PromptError
from lstmcore.export import LanguageModel
from lstmcore.introspection import activations
from lstmcore.walkthrough import checked_layer, rounded

SUGGESTED = 8
FOLLOWS = 0.6  # the least correlation that is worth saying
LEAST_TOKENS = 12  # with fewer, something always seems to fit
LEAST_TIMES = 3
FREQUENT = 12  # single tokens that are tried as a feature
LINE_ENDS = ("\n", "<eos>")
STOPS = (".", "!", "?", "。", "؟")
OPENING = {"(": ")", "[": "]", "{": "}", "“": "”", "«": "»", "‘": "’"}  # noqa: RUF001


class Neuron(TypedDict):
    """A memory cell's h over a text, and what it seems to follow."""

    layer: int
    neuron: int
    reason: str
    correlation: float | None  # with what the reason names; None: nothing known fits
    values: list[float]  # in (-1, 1), one for each token


class Neurons(TypedDict):
    """The asked neuron first, if one was asked for, then those suggested."""

    tokens: list[str]
    ids: list[int]
    unknown_tokens: list[str]
    layers: int
    hidden_size: int
    neurons: list[Neuron]


Feature = tuple[str, str, list[float]]  # words for a high and a low neuron, values


@torch.inference_mode()
def look_at_neurons(
    lm: LanguageModel, text: str, *, layer: int | None = None, neuron: int | None = None
) -> Neurons:
    """Values of the neuron asked for (`layer` None: the last) and of the most interesting ones.

    Raises PromptError as `activations` does, and for a neuron that is not there.
    """
    seen = activations(lm, text)
    layers, tokens, size = seen.hidden.shape
    if neuron is not None and not 0 <= neuron < size:
        raise PromptError(f"A layer has the neurons 0 to {size - 1}, and no neuron {neuron}.")
    wanted = checked_layer(layers, layer)
    values = seen.hidden.permute(0, 2, 1).reshape(layers * size, tokens)  # (N, T)
    features = _features(seen.tokens, lm.tokenizer.kind.level == "char")
    table = _correlations(values, features)  # (K, N)
    asked = [] if neuron is None else [wanted * size + neuron]
    chosen = [*asked, *(at for at in _suggest(values, table) if at not in asked)]
    reasons = [_reason(values[at], table[:, at], features) for at in chosen]
    return {
        "tokens": seen.tokens,
        "ids": seen.ids,
        "unknown_tokens": lm.tokenizer.encode(text).unknown,
        "layers": layers,
        "hidden_size": size,
        "neurons": [
            {
                "layer": at // size,
                "neuron": at % size,
                "reason": reason,
                "correlation": correlation,
                "values": rounded(values[at]),
            }
            for at, (reason, correlation) in zip(chosen, reasons, strict=True)
        ],
    }


def _suggest(values: Tensor, table: Tensor) -> list[int]:
    """Neurons that follow something, each something else; then those that move most."""
    chosen: list[int] = []
    strength = table.abs().clone()
    while len(chosen) < SUGGESTED and strength.numel() and strength.max() >= FOLLOWS:
        feature, neuron = divmod(int(strength.argmax()), strength.shape[1])
        chosen.append(neuron)
        strength[feature, :] = 0
        strength[:, neuron] = 0
    spread = values.amax(1) - values.amin(1)
    for neuron in spread.argsort(descending=True, stable=True).tolist():
        if len(chosen) == SUGGESTED:
            break
        if neuron not in chosen:
            chosen.append(neuron)
    return chosen


def _reason(values: Tensor, table: Tensor, features: Sequence[Feature]) -> tuple[str, float | None]:
    """What a neuron with these values (T,) follows, by its correlations (K,)."""
    best = int(table.abs().argmax()) if len(table) else -1
    if best >= 0 and abs(table[best]) >= FOLLOWS:
        strength = float(table[best])
        high, low, _ = features[best]
        return high if strength > 0 else low, round(strength, 3)
    lowest, highest = values.min().item(), values.max().item()
    return f"moves between {lowest:.2f} and {highest:.2f}", None


def _correlations(values: Tensor, features: Sequence[Feature]) -> Tensor:
    """Of each feature with each neuron's values (N, T): (K, N), 0 where nothing varies."""
    if not features:
        return torch.zeros(0, len(values))
    wanted = torch.tensor([numbers for _, _, numbers in features])  # (K, T)
    return _standard(wanted) @ _standard(values).T


def _standard(values: Tensor) -> Tensor:
    """Rows with the mean 0 and the length 1; a row that never changes becomes 0."""
    centred = values - values.mean(1, keepdim=True)
    length = centred.norm(dim=1, keepdim=True)
    return torch.where(length > 1e-4, centred / length.clamp_min(1e-4), 0.0)  # noqa: PLR2004


def _features(tokens: Sequence[str], characters: bool) -> list[Feature]:
    """What people can see at each token, of what happens often enough in this text."""
    if len(tokens) < LEAST_TOKENS:
        return []
    found: list[Feature] = []
    for where, test in _kinds(characters).items():
        found.append(_where(where, [float(test(token)) for token in tokens]))
    starts = [
        bool(token.strip()) and (at == 0 or not tokens[at - 1].strip())
        for at, token in enumerate(tokens)
    ]
    if characters:
        found.append(_where("where a word begins", [float(start) for start in starts]))
        found.append(_along("a word", _since(tokens, lambda token: not token.strip())))
    found.append(_where("inside quotes and brackets", _inside(tokens)))
    found.append(_along("a line", _since(tokens, lambda token: token in LINE_ENDS)))
    found.append(_along("a sentence", _since(tokens, lambda token: token.strip() in STOPS)))
    found.append(_along("the text", [float(at) for at in range(len(tokens))]))
    for token, _ in Counter(tokens).most_common(FREQUENT):
        if name := token.strip():
            here = [float(each == token) for each in tokens]
            found.append(_where(f"at “{name}”", here))
    return [feature for feature in found if _happens(feature[2])]


def _kinds(characters: bool) -> dict[str, Callable[[str], bool]]:
    kinds: dict[str, Callable[[str], bool]] = {
        "at capital letters" if characters else "at capitalised words": lambda token: token.strip()[
            :1
        ].isupper(),
        "at digits": lambda token: any(map(str.isdigit, token)),
        "at punctuation marks": lambda token: bool(re.fullmatch(r"\s*[^\w\s]+\s*", token)),
    }
    if characters:
        kinds["at spaces and line ends"] = lambda token: not token.strip()
        kinds["at vowels"] = lambda token: token.lower() in "aeiou"
    return kinds


def _where(where: str, values: list[float]) -> Feature:
    return f"high {where}, low elsewhere", f"low {where}, high elsewhere", values


def _along(what: str, values: list[float]) -> Feature:
    return f"rises along {what}", f"falls along {what}", values


def _since(tokens: Sequence[str], ends: Callable[[str], bool]) -> list[float]:
    """How many tokens ago the last one was that ended something."""
    counts, count = [], 0
    for token in tokens:
        count = 0 if ends(token) else count + 1
        counts.append(float(count))
    return counts


def _inside(tokens: Sequence[str]) -> list[float]:
    """1 between an opening and a closing sign."""
    waiting: list[str] = []
    inside = []
    for token in tokens:
        for sign in token:
            if waiting and sign == waiting[-1]:
                waiting.pop()
            elif sign in OPENING:
                waiting.append(OPENING[sign])
            elif sign == '"':
                waiting.append(sign)
        inside.append(float(bool(waiting)))
    return inside


def _happens(values: list[float]) -> bool:
    """Whether something changes often enough to be more than chance."""
    common = Counter(values).most_common(1)[0][1]
    return len(values) - common >= LEAST_TIMES
