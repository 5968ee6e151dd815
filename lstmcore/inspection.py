"""A look at a text through a tokenizer, before anything is trained. No torch needed."""

from collections import Counter
from collections.abc import Iterator
from itertools import islice
from typing import Any

from lstmcore.config import Level, TokenizerConfig, resolve_config
from lstmcore.corpus import Corpus, CorpusSummary, summarize
from lstmcore.tokenizer import Tokenizer

# A vocabulary and its counts are learned from the first so many characters, in seconds.
SAMPLE_CHARACTERS = 4_000_000
LONGEST_LINE = 400  # characters of a line that are shown
EXAMPLES = 12  # of frequent, rare and unknown tokens
LINES_FOR_UNKNOWN = 400  # that are searched for tokens the vocabulary lacks


def preview(
    corpus: Corpus,
    tokenizer: TokenizerConfig | Level,
    limit: int = 20,
    *,
    ascii_only: bool = False,
    summary: CorpusSummary | None = None,
) -> dict[str, Any]:
    """Tokens of the first lines, and counts of the whole, as JSON.

    `lines`: [{text, tokens, ids}], the first `limit`; `tokens`: in all; `vocabulary`: different
    ones the model would cover; `rare_share`: of the vocabulary, seen once; `unknown_share`: of
    the tokens, not in the vocabulary; `frequent`: [{token, count}], `rare` (seen once) and
    `unknown`: a few examples of each; `duplicates`: lines seen before; `sampled`: whether the
    text is so long that the counts come from its beginning. A level alone stands for that
    level's default settings; `ascii_only` is the tutorial's rule. Raises TokenizerError.
    """
    summary = summary or summarize(corpus)
    if isinstance(tokenizer, str):
        tokenizer = resolve_config({"preset": tokenizer}, summary).tokenizer
    sampled = summary.characters > SAMPLE_CHARACTERS
    texts = list(_sample(corpus, lines_only=ascii_only))
    trained = Tokenizer.train(tokenizer, texts, ascii_only=ascii_only)
    counts: Counter[int] = Counter()
    for ids in trained.encode_arrays(texts):
        counts.update(ids)
    seen = sum(counts.values())
    scale = summary.characters / max(1, sum(map(len, texts))) if sampled else 1.0
    unknown = counts.pop(trained.unk_id, 0)
    lines = corpus.lines()
    return {
        "lines": _lines(trained, corpus, limit),
        "tokens": round(seen * scale),
        "vocabulary": trained.modelled_size,
        "rare_share": sum(count == 1 for count in counts.values()) / max(1, len(counts)),
        "unknown_share": unknown / max(1, seen),
        "frequent": [
            {"token": trained.token(index), "count": round(count * scale)}
            for index, count in counts.most_common(EXAMPLES)
        ],
        "rare": [
            trained.token(index)
            for index, _ in islice((one for one in counts.items() if one[1] == 1), EXAMPLES)
        ],
        "unknown": _unknown(trained, corpus) if unknown else [],
        "duplicates": len(lines) - len(set(lines)),
        "sampled": sampled,
    }


def _sample(corpus: Corpus, *, lines_only: bool) -> Iterator[str]:
    """Texts up to the sample's size in all."""
    left = SAMPLE_CHARACTERS
    for text in corpus.lines() if lines_only else corpus.texts():
        yield text[:left]
        left -= len(text)
        if left <= 0:
            return


def _unknown(tokenizer: Tokenizer, corpus: Corpus) -> list[str]:
    lines = corpus.texts() if corpus.layout == "pairs" else corpus.lines()
    found: dict[str, None] = {}
    for line in islice(lines, LINES_FOR_UNKNOWN):
        found |= dict.fromkeys(tokenizer.encode(line[:LONGEST_LINE]).unknown)
        if len(found) >= EXAMPLES:
            break
    return list(found)[:EXAMPLES]


def _lines(tokenizer: Tokenizer, corpus: Corpus, limit: int) -> list[dict[str, Any]]:
    """The first lines as the model reads them: in pairs a token of its own begins the answer."""
    shown = [_line(tokenizer, line[:LONGEST_LINE]) for line in corpus.lines()[:limit]]
    if corpus.layout != "pairs" or tokenizer.kind.ascii_only:
        return shown
    pairs = zip(shown, corpus.documents, corpus.completions, strict=False)
    return [line | _pair(tokenizer, prompt, completion) for line, prompt, completion in pairs]


def _line(tokenizer: Tokenizer, text: str) -> dict[str, Any]:
    encoding = tokenizer.encode(text)
    return {"text": text, "tokens": encoding.tokens, "ids": encoding.ids}


def _pair(tokenizer: Tokenizer, prompt: str, completion: str) -> dict[str, Any]:
    first, second = (tokenizer.encode(part[:LONGEST_LINE]) for part in (prompt, completion))
    return {
        "tokens": [*first.tokens, tokenizer.token(tokenizer.sep_id), *second.tokens],
        "ids": [*first.ids, tokenizer.sep_id, *second.ids],
    }
