"""From a corpus and a configuration to a tokenizer and batches."""

import hashlib
from array import array
from collections.abc import Iterable, Sequence

import torch
from torch import Tensor

from lstmcore.batches import Batches, Pair, split_lines, split_pairs, split_text
from lstmcore.config import TrainConfig
from lstmcore.corpus import Corpus
from lstmcore.tokenizer import Tokenizer
from lstmcore.tutorial import tutorial_pairs, tutorial_tokenizer
from lstmcore.tutorial_batches import TutorialBatches


def learn_tokenizer(config: TrainConfig, corpus: Corpus) -> Tokenizer:
    """The tokenizer that a configuration makes of a corpus. Raises TokenizerError."""
    if config.preset == "tutorial":
        return tutorial_tokenizer(corpus, config.tokenizer)
    return Tokenizer.train(config.tokenizer, corpus.texts())


def make_batches(config: TrainConfig, corpus: Corpus, tokenizer: Tokenizer) -> Batches:
    """The batches that a configuration makes of a corpus. Raises TrainingError when none."""
    if config.preset == "tutorial":
        return TutorialBatches(tutorial_pairs(corpus, tokenizer))
    documents = tokenizer.encode_arrays(corpus.documents)
    if corpus.layout == "text":
        text = torch.cat(list(map(_tensor, documents)))
        return split_text(text, tokenizer.eos_id, config.training)
    if corpus.layout == "lines":
        lines = list(map(_tensor, documents))
        return split_lines(lines, tokenizer.eos_id, config.training)
    completions = tokenizer.encode_arrays(corpus.completions)
    return split_pairs(list(_pairs(documents, completions, tokenizer)), config.training)


def corpus_sha256(corpus: Corpus) -> str:
    """A fingerprint of the text and its layout, so that a training goes on with the same one."""
    digest = hashlib.sha256(f"{corpus.layout}\n".encode())
    digest.update(corpus.to_bytes())
    return digest.hexdigest()


def sample_prompts(corpus: Corpus, batches: Batches, tokenizer: Tokenizer) -> Sequence[str]:
    """What a model is asked for samples while it trains; an empty prompt where it writes freely."""
    if isinstance(batches, TutorialBatches):
        return [tokenizer.decode(pair.context) for pair in batches.pairs]
    return corpus.documents if corpus.layout == "pairs" else ("",)


def _pairs(
    prompts: Iterable["array[int]"], completions: Iterable["array[int]"], tokenizer: Tokenizer
) -> Iterable[Pair]:
    for prompt, completion in zip(prompts, completions, strict=True):
        yield Pair.join(prompt, completion, tokenizer.sep_id, tokenizer.eos_id)


def _tensor(ids: "array[int]") -> Tensor:
    # shares the array's memory; torch refuses an empty one
    return torch.frombuffer(ids, dtype=torch.int32) if ids else torch.empty(0, dtype=torch.int32)
