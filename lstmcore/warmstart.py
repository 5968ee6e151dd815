"""Starting from a trained model instead of random weights; its vocabulary grows."""

import json

import torch

from lstmcore.config import TrainConfig, check_continues
from lstmcore.corpus import TextSource
from lstmcore.export import LanguageModel
from lstmcore.model import LSTMLanguageModel
from lstmcore.preparation import learn_tokenizer
from lstmcore.tokenizer import Tokenizer


def grown_tokenizer(config: TrainConfig, corpus: TextSource, parent: LanguageModel) -> Tokenizer:
    """The parent's vocabulary and what the corpus adds to it.

    Subwords spell everything, so theirs stays as it is; so does that of an adaptive softmax, whose
    parts are cut to the vocabulary's size. Raises ConfigError when the configuration
    is not one that can take over the parent's weights.
    """
    check_continues(config, parent.config)
    if config.tokenizer.level == "subword" or config.model.softmax == "adaptive":
        return parent.tokenizer
    old, new = parent.tokenizer, learn_tokenizer(config, corpus)
    tokens = {t.token(index) for t in (old, new) for index in range(t.unk_id)}
    specials = [old.token(index) for index in (old.unk_id, old.eos_id, old.sep_id)]
    parts = json.loads(new.to_json())
    entries = [*sorted(tokens), *specials]
    parts["model"]["vocab"] = {token: index for index, token in enumerate(entries)}
    return Tokenizer.from_json(json.dumps(parts))


def take_over(model: LSTMLanguageModel, tokenizer: Tokenizer, parent: LanguageModel) -> None:
    """Copy the parent's weights; new tokens start as the mean of those it knows.

    So they begin as likely as an average word, wherever the network is, and learn from there.
    """
    old = parent.tokenizer
    place = {tokenizer.token(index): index for index in range(tokenizer.modelled_size)}
    rows = torch.tensor([place[old.token(index)] for index in range(old.modelled_size)])
    mine = model.tensors()
    with torch.no_grad():
        for name, tensor in parent.model.tensors().items():
            if len(tensor) == old.modelled_size and name.startswith(("embedding.", "output.")):
                mine[name][:] = tensor.mean(0)
                mine[name][rows] = tensor  # (V of the parent, ...)
            else:
                mine[name].copy_(tensor)
