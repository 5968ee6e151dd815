"""What happens inside a network while it reads: gates and states, logits, and what mattered.

For pages that explain a model. Tensors have the shapes L layers, T tokens, H memory cells.
"""

from dataclasses import dataclass
from typing import TypedDict

import torch
from torch import Tensor

from lstmcore.errors import PromptError
from lstmcore.export import LanguageModel
from lstmcore.prompts import never_written, read_prompt

LONGEST_LOOK = 4096  # tokens: six numbers are kept for each cell and token
SHOWN_TOKENS = 20


@dataclass(frozen=True)
class Activations:
    """Everything an LSTM computes for each token, (L, T, H) each.

    c = forget * c of the token before + input * candidate; h = output * tanh(c). The gates are in
    (0, 1), the candidate and h in (-1, 1). Tokens are those that the network reads: where lines
    begin or a prompt ends, a special token is among them.
    """

    tokens: list[str]
    ids: list[int]
    input_gate: Tensor
    forget_gate: Tensor
    candidate: Tensor
    output_gate: Tensor
    cell: Tensor
    hidden: Tensor


class Expected(TypedDict):
    """A token that may come next, before temperature and filters."""

    token: str
    id: int
    logit: float
    probability: float


class Explanation(TypedDict):
    """The numbers of one prediction, in the order in which they are computed, as JSON."""

    tokens: list[str]
    ids: list[int]
    unknown_tokens: list[str]
    embedding_shape: list[int]  # [T, E]
    embedding: list[list[float]]  # T vectors of E numbers
    hidden_shape: list[int]  # [L, H]
    hidden: list[list[float]]  # h of each layer after the last token
    cell: list[list[float]]  # c of each layer after the last token
    logits_shape: list[int]  # [V]
    next_tokens: list[Expected]  # the likeliest, the likeliest first
    other_probability: float  # of all tokens that are not listed


class Influence(TypedDict):
    """A token of the context and how much it spoke for the predicted one, in nats."""

    token: str
    saliency: float


class Saliency(TypedDict):
    """What in the context made the network expect `predicted`."""

    predicted: str
    logprob: float
    context: list[Influence]


@torch.inference_mode()
def activations(lm: LanguageModel, text: str) -> Activations:
    """Gates and states for each token of a text, read as `generate` reads a prompt.

    Computed from the weights step by step, so that nothing is hidden; equal to nn.LSTM's outputs.
    Raises PromptError when the text is too long, or there is nothing to read.
    """
    ids = _look(lm, text)
    below = lm.model.embedding(torch.tensor(ids))  # (T, E)
    layers: list[list[Tensor]] = []
    for weights in lm.model.lstm.all_weights:
        parts = _layer(below, *weights)
        layers.append(parts)
        below = parts[-1]  # the hidden state, (T, H)
    stacked = [torch.stack(values) for values in zip(*layers, strict=True)]  # 6 x (L, T, H)
    return Activations([lm.tokenizer.token(token) for token in ids], ids, *stacked)


def _layer(below: Tensor, w_ih: Tensor, w_hh: Tensor, b_ih: Tensor, b_hh: Tensor) -> list[Tensor]:
    """One layer over `below` (T, E or H): input, forget, candidate, output, c, h, (T, H) each.

    Weights are (4H, E) and (4H, H): the rows of input, forget, candidate and output, as torch
    stores them.
    """
    size = w_hh.shape[1]
    h = c = below.new_zeros(size)  # (H,)
    steps: list[Tensor] = []
    for from_below in below @ w_ih.T + b_ih + b_hh:  # (4H,) for each token
        i, f, g, o = (from_below + w_hh @ h).view(4, size)
        i, f, g, o = i.sigmoid(), f.sigmoid(), g.tanh(), o.sigmoid()
        c = f * c + i * g
        h = o * c.tanh()
        steps.append(torch.stack([i, f, g, o, c, h]))  # (6, H)
    return list(torch.stack(steps, dim=1))  # 6 x (T, H)


@torch.inference_mode()
def explain(lm: LanguageModel, prompt: str, shown: int = SHOWN_TOKENS) -> Explanation:
    """The numbers of one prediction: tokens, ids, embedding, states, logits and softmax.

    `shown` is the number of next tokens listed. Raises PromptError as `activations` does.
    """
    ids = _look(lm, prompt)
    embedded = lm.model.embedding(torch.tensor(ids))  # (T, E)
    logits, (hidden, cell) = lm.model(torch.tensor([ids]))  # (1, T, V), 2 x (L, 1, H)
    logits = logits[0, -1]  # (V,)
    probabilities = logits.softmax(-1)  # (V,)
    listed = probabilities.topk(max(0, min(shown, len(probabilities)))).indices
    return {
        "tokens": [lm.tokenizer.token(token) for token in ids],
        "ids": ids,
        "unknown_tokens": lm.tokenizer.encode(prompt).unknown,
        "embedding_shape": list(embedded.shape),
        "embedding": embedded.tolist(),
        "hidden_shape": [hidden.shape[0], hidden.shape[2]],
        "hidden": hidden[:, 0].tolist(),
        "cell": cell[:, 0].tolist(),
        "logits_shape": list(logits.shape),
        "next_tokens": [
            {"token": lm.tokenizer.token(token), "id": token, "logit": logit, "probability": p}
            for token, logit, p in zip(
                listed.tolist(),
                logits[listed].tolist(),
                probabilities[listed].tolist(),
                strict=True,
            )
        ],
        "other_probability": max(0.0, 1.0 - probabilities[listed].sum().item()),
    }


def saliency(lm: LanguageModel, prompt: str, token: str | None = None) -> Saliency:
    """How much each token of the context spoke for the next one: gradient times input.

    The log probability of `token` (None: the likeliest) is derived by the embedding of each token
    of the context, and the derivative multiplied with that embedding: to first order, what would
    be gained or lost were the embedding scaled. Negative: it spoke against. Gradient x input is
    from Shrikumar et al. 2016, https://arxiv.org/abs/1605.01713; gradients of embeddings in
    language models from Li et al. 2016, https://arxiv.org/abs/1506.01066. It explains this one
    prediction locally, and does not prove a cause.

    Raises PromptError as `activations` does, and when `token` is not one token of the model.
    """
    ids = _look(lm, prompt)
    network = lm.model
    with torch.inference_mode(mode=False), torch.enable_grad():
        embedded = network.embedding(torch.tensor([ids])).detach()  # (1, T, E)
        embedded.requires_grad_()
        logits = network.output(_features(lm, embedded))  # (V,)
        logprobs = logits.log_softmax(-1)  # (V,)
        target = _target(lm, token, logprobs)
        (gradient,) = torch.autograd.grad(logprobs[target], embedded)  # (1, T, E)
    products = (gradient * embedded.detach()).sum(-1)[0]  # (T,)
    return {
        "predicted": lm.tokenizer.token(target),
        "logprob": logprobs[target].item(),
        "context": [
            {"token": lm.tokenizer.token(index), "saliency": value}
            for index, value in zip(ids, products.tolist(), strict=True)
        ],
    }


def _features(lm: LanguageModel, embedded: Tensor) -> Tensor:
    """From embeddings (1, T, E): what the output layer takes in after the last token."""
    hidden, _ = lm.model.lstm(embedded)  # (1, T, H)
    last: Tensor = hidden[0, -1]
    return last if lm.model.projection is None else lm.model.projection(last)


def _target(lm: LanguageModel, token: str | None, logprobs: Tensor) -> int:
    if token is None:
        allowed = logprobs.detach().index_fill(
            0, torch.tensor(never_written(lm)).long(), -torch.inf
        )
        return int(allowed.argmax())
    if token == lm.tokenizer.token(lm.tokenizer.eos_id) and lm.tokenizer.eos_id < len(logprobs):
        return lm.tokenizer.eos_id
    ids = lm.tokenizer.encode(token).ids
    if len(ids) != 1 or ids[0] == lm.tokenizer.unk_id:
        raise PromptError(f"{token[:40]!r} is not one token that the model knows.")
    return ids[0]


def _look(lm: LanguageModel, text: str) -> list[int]:
    """The ids that the network reads, if they are few enough to look at and there are some."""
    ids = read_prompt(lm, text).ids
    if len(ids) > LONGEST_LOOK:
        raise PromptError(
            f"The text has {len(ids):,} tokens; {LONGEST_LOOK:,} can be looked into at once."
        )
    if not ids:
        raise PromptError("There is nothing to look into: write some words the model knows.")
    return ids
