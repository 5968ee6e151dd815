"""From a corpus and a configuration to a tokenizer and batches."""

import hashlib
import os
from collections.abc import Iterable, Sequence
from contextlib import suppress
from pathlib import Path

from lstmcore.batches import Batches, Pair, split_lines, split_pairs, split_text
from lstmcore.config import TrainConfig
from lstmcore.corpus import Corpus, TextSource
from lstmcore.encoding import Fingerprint, encode_corpus
from lstmcore.errors import CorpusError, TokenizerError
from lstmcore.tokenizer import Tokenizer
from lstmcore.tutorial import tutorial_pairs, tutorial_tokenizer
from lstmcore.tutorial_batches import TutorialBatches


def learn_tokenizer(
    config: TrainConfig,
    corpus: TextSource,
    *,
    cache: Path | None = None,
    fingerprint: Fingerprint | None = None,
) -> Tokenizer:
    """The tokenizer that a configuration makes of a corpus. Raises TokenizerError.

    It is taken from a `cache` folder, or put there.
    """
    if config.preset == "tutorial":
        return tutorial_tokenizer(in_memory(corpus), config.tokenizer)
    by_frequency = config.model.softmax == "adaptive"
    if cache is None:
        return Tokenizer.train(config.tokenizer, corpus.texts(), by_frequency=by_frequency)
    kind = f"{config.tokenizer.model_dump_json()}{by_frequency}"
    settings = hashlib.sha256(kind.encode()).hexdigest()
    text = (fingerprint or Fingerprint.of(corpus)).sha256
    path = cache / f"{text[:40]}-{settings[:24]}.tokenizer.json"
    with suppress(OSError, UnicodeDecodeError, TokenizerError):  # not there, or damaged
        return Tokenizer.from_json(path.read_text(encoding="utf-8"))
    tokenizer = Tokenizer.train(config.tokenizer, corpus.texts(), by_frequency=by_frequency)
    with suppress(OSError):
        cache.mkdir(parents=True, exist_ok=True)
        unfinished = path.with_suffix(f".{os.getpid()}.tmp")
        unfinished.write_text(tokenizer.to_json(), encoding="utf-8")
        unfinished.replace(path)
    return tokenizer


def make_batches(
    config: TrainConfig,
    corpus: TextSource,
    tokenizer: Tokenizer,
    *,
    cache: Path | None = None,
    fingerprint: Fingerprint | None = None,
) -> Batches:
    """The batches that a configuration makes of a corpus. Raises TrainingError when none.

    The ids of texts and lines are taken from a `cache` folder, or put there.
    """
    if config.preset == "tutorial":
        return TutorialBatches(tutorial_pairs(in_memory(corpus), tokenizer))
    if corpus.layout == "pairs":
        return split_pairs(list(joined_pairs(in_memory(corpus), tokenizer)), config.training)
    ids = encode_corpus(corpus, tokenizer, cache=cache, fingerprint=fingerprint)
    split = split_text if corpus.layout == "text" else split_lines
    batches = split(ids, config.training)
    batches.check_validation(tokenizer.unk_id, tokenizer.eos_id)
    return batches


def in_memory(corpus: TextSource) -> Corpus:
    """The corpus, if it is one in memory. Raises CorpusError for a `CorpusFile`."""
    if isinstance(corpus, Corpus):
        return corpus
    raise CorpusError("This needs the whole text in memory: read it with read_corpus.")


def sample_prompts(corpus: TextSource, batches: Batches, tokenizer: Tokenizer) -> Sequence[str]:
    """What a model is asked for samples while it trains; an empty prompt where it writes freely."""
    if isinstance(batches, TutorialBatches):
        return [tokenizer.decode(pair.context) for pair in batches.pairs]
    return in_memory(corpus).documents if corpus.layout == "pairs" else ("",)


def joined_pairs(corpus: Corpus, tokenizer: Tokenizer) -> Iterable[Pair]:
    """The pairs of a corpus as token ids."""
    prompts = tokenizer.encode_arrays(corpus.documents)
    completions = tokenizer.encode_arrays(corpus.completions)
    for prompt, completion in zip(prompts, completions, strict=True):
        yield Pair.join(prompt, completion, tokenizer.sep_id, tokenizer.eos_id)
