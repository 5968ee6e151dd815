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


def _one_token(lm: LanguageModel, text: str) -> int:
    encoding = lm.tokenizer.encode(text)
    if encoding.unknown:
        raise PromptError(f"The model does not know {encoding.unknown[0]!r}.")
    if len(encoding.ids) != 1:
        raise PromptError(
            f"{text[:40]!r} is {len(encoding.ids)} tokens for this model; ask for one at a time."
        )
    return encoding.ids[0]
