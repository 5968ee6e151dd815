"""What a model has learned about single tokens: their embedding vectors, and which are alike."""

from typing import TypedDict

import torch
from torch import Tensor
from torch.nn import functional

from lstmcore.errors import PromptError
from lstmcore.export import LanguageModel


class Neighbour(TypedDict):
    """A token and the cosine between its vector and the one asked for, in [-1, 1]."""

    token: str
    similarity: float


class Place(TypedDict):
    """A token on a map."""

    token: str
    id: int
    x: float
    y: float


class WordMap(TypedDict):
    """Tokens in a plane. `shares`: how much of their differences each of the two axes shows."""

    points: list[Place]
    shares: list[float]
    dimensions: int  # of the vectors
    vocabulary: int  # tokens that could have been shown


def embedding(lm: LanguageModel, token: str) -> Tensor:
    """The vector of one token (a word, a character, a part of a word), (E,).

    Raises PromptError when the text is not exactly one token that the model knows.
    """
    return lm.model.embedding.weight[_one_token(lm, token)].detach().clone()


@torch.inference_mode()
def nearest_tokens(lm: LanguageModel, token: str, count: int = 10) -> list[Neighbour]:
    """The `count` tokens whose vectors point most nearly the same way, the nearest first.

    The token itself and the special ones are left out. Raises PromptError as `embedding` does.
    """
    asked = _one_token(lm, token)
    known = min(lm.tokenizer.unk_id, lm.tokenizer.modelled_size)  # the special ones come after
    vectors = lm.model.embedding.weight[:known]  # (V, E)
    cosines = functional.cosine_similarity(vectors, vectors[asked : asked + 1], dim=1)  # (V,)
    order = [at for at in cosines.argsort(descending=True, stable=True).tolist() if at != asked]
    return [
        {"token": lm.tokenizer.token(at), "similarity": cosines[at].item()}
        for at in order[: max(0, count)]
    ]


@torch.inference_mode()
def word_map(lm: LanguageModel, count: int = 300) -> WordMap:
    """The vectors of `count` tokens in the plane that shows most of their differences (PCA).

    A model does not keep how often its tokens were seen. Those are taken that it expects most
    before it has read anything, which it learned from that.
    """
    known = min(lm.tokenizer.unk_id, lm.tokenizer.modelled_size)
    first = lm.model.start_logits()[0, :known]  # (V,)
    ids = first.topk(max(1, min(count, known))).indices  # (N,)
    vectors = lm.model.embedding.weight[ids].double()  # (N, E)
    centred = vectors - vectors.mean(0)
    variances, axes = torch.linalg.eigh(centred.T @ centred)  # ascending, (E,) and (E, E)
    plane = axes.flip(1)[:, :2]  # (E, 2)
    # a direction and its opposite are the same axis: the largest number is made positive
    signs = plane.gather(0, plane.abs().argmax(0, keepdim=True)).sign()  # (1, 2)
    places = functional.pad(centred @ (plane * signs), (0, 2 - plane.shape[1]))  # (N, 2)
    shares = variances.flip(0).clamp_min(0) / variances.clamp_min(0).sum().clamp_min(1e-12)
    return {
        "points": [
            {"token": lm.tokenizer.token(token), "id": token, "x": round(x, 4), "y": round(y, 4)}
            for token, (x, y) in zip(ids.tolist(), places.tolist(), strict=True)
        ],
        "shares": [round(share, 4) for share in shares[:2].tolist()],
        "dimensions": vectors.shape[1],
        "vocabulary": known,
    }


def _one_token(lm: LanguageModel, text: str) -> int:
    encoding = lm.tokenizer.encode(text)
    if len(encoding.ids) != 1 and text[:1] == " ":
        encoding = lm.tokenizer.encode(text[1:])  # as tokens of words are written
    if encoding.unknown:
        raise PromptError(f"The model does not know {encoding.unknown[0]!r}.")
    if len(encoding.ids) != 1:
        raise PromptError(
            f"{text[:40]!r} is {len(encoding.ids)} tokens for this model; ask for one at a time."
        )
    return encoding.ids[0]
