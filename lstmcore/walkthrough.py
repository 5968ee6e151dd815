"""One prediction step by step, in numbers few enough to be shown: for pages that explain a model.

Shapes: T tokens read, S of them shown, H memory cells a layer, C of them shown, V tokens in all.
"""

from typing import TypedDict

import torch
from torch import Tensor

from lstmcore.errors import PromptError
from lstmcore.export import LanguageModel
from lstmcore.introspection import Expected, activations

SHOWN_STEPS = 64
SHOWN_CELLS = 40
SHOWN_NUMBERS = 32  # of an embedding vector
NEXT_AT_A_STEP = 4
NEXT_AT_THE_END = 20
DIGITS = 3


class Gates(TypedDict):
    """What a layer computes at each step shown, (S, C) each; see `introspection.Activations`."""

    input: list[list[float]]
    forget: list[list[float]]
    candidate: list[list[float]]
    output: list[list[float]]
    cell: list[list[float]]
    hidden: list[list[float]]


class Step(TypedDict):
    """A token that was read, and what the network expects after it."""

    token: str
    id: int
    embedding: list[float]  # its first numbers
    next_tokens: list[Expected]


class Walkthrough(TypedDict):
    """Text, tokens, ids, embedding, gates and states, logits, softmax: as JSON."""

    tokens: list[str]  # all that were read, (T,)
    ids: list[int]
    unknown_tokens: list[str]
    vocabulary_size: int  # tokens the model chooses between, V
    embedding_shape: list[int]  # [T, E]
    layers: int
    hidden_size: int  # H
    layer: int  # the one shown, from 0
    cells: list[int]  # which cells of it are shown, (C,)
    first_step: int  # T - S: earlier ones were read too, and are not shown
    steps: list[Step]  # (S,)
    cell_before: list[float]  # c before the first step shown, (C,)
    gates: Gates
    logits_shape: list[int]  # [V]
    log_sum: float  # log of the sum of exp(logit) over all V, after the last token
    next_tokens: list[Expected]  # after the last token, the likeliest first
    other_probability: float


@torch.inference_mode()
def walk_through(lm: LanguageModel, text: str, layer: int | None = None) -> Walkthrough:
    """Everything that one layer (None: the last) computes while the network reads a text.

    Of a large layer the cells are shown that move most. Raises PromptError as `activations` does,
    and for a layer that the model does not have.
    """
    layers = lm.model.lstm.num_layers
    shown = checked_layer(layers, layer)
    seen = activations(lm, text)
    first = max(0, len(seen.ids) - SHOWN_STEPS)
    logits = lm.model.output_of(seen.hidden[-1, first:])  # (S, V)
    embedded = lm.model.embedding(torch.tensor(seen.ids[first:]))  # (S, E)
    cells = _moving_most(seen.hidden[shown, first:])
    before = seen.cell[shown, first - 1] if first else torch.zeros_like(seen.cell[shown, 0])
    parts = {
        "input": seen.input_gate,
        "forget": seen.forget_gate,
        "candidate": seen.candidate,
        "output": seen.output_gate,
        "cell": seen.cell,
        "hidden": seen.hidden,
    }
    gates = {name: _rows(part[shown, first:][:, cells]) for name, part in parts.items()}
    last = expected(lm, logits[-1], NEXT_AT_THE_END)
    return {
        "tokens": seen.tokens,
        "ids": seen.ids,
        "unknown_tokens": lm.tokenizer.encode(text).unknown,
        "vocabulary_size": logits.shape[1],
        "embedding_shape": [len(seen.ids), embedded.shape[1]],
        "layers": layers,
        "hidden_size": seen.hidden.shape[2],
        "layer": shown,
        "cells": cells.tolist(),
        "first_step": first,
        "steps": [
            {
                "token": seen.tokens[first + at],
                "id": seen.ids[first + at],
                "embedding": numbers,
                "next_tokens": expected(lm, logits[at], NEXT_AT_A_STEP),
            }
            for at, numbers in enumerate(_rows(embedded[:, :SHOWN_NUMBERS]))
        ],
        "cell_before": rounded(before[cells]),
        "gates": Gates(**gates),  # type: ignore[typeddict-item]
        "logits_shape": [logits.shape[1]],
        "log_sum": logits[-1].logsumexp(0).item(),
        "next_tokens": last,
        "other_probability": max(0.0, 1.0 - sum(next_["probability"] for next_ in last)),
    }


def expected(lm: LanguageModel, logits: Tensor, count: int) -> list[Expected]:
    """The likeliest tokens by logits (V,), before temperature and filters."""
    probabilities = logits.softmax(-1)  # (V,)
    ids = probabilities.topk(min(count, len(probabilities))).indices
    return [
        {
            "token": lm.tokenizer.token(token),
            "id": token,
            "logit": round(logit, 5),
            "probability": round(p, 6),
        }
        for token, logit, p in zip(
            ids.tolist(), logits[ids].tolist(), probabilities[ids].tolist(), strict=True
        )
    ]


def checked_layer(layers: int, layer: int | None) -> int:
    """A layer's number; None is the last. Raises PromptError for one that is not there."""
    if layer is None:
        return layers - 1
    if not 0 <= layer < layers:
        raise PromptError(f"The model has the layers 0 to {layers - 1}, and no layer {layer}.")
    return layer


def rounded(values: Tensor) -> list[float]:
    """Numbers (N,) short enough to send many of them."""
    # by hand: float32 rounded by torch is written with all its digits again
    return [round(value, DIGITS) for value in values.tolist()]


def _rows(values: Tensor) -> list[list[float]]:
    return [rounded(row) for row in values]


def _moving_most(hidden: Tensor) -> Tensor:
    """Of states (S, H): which cells to show, in their own order (C,)."""
    spread = hidden.amax(0) - hidden.amin(0)
    order = spread.argsort(descending=True, stable=True)[:SHOWN_CELLS]
    return order.sort().values
