"""Prompts: a text in the form that the training had, read once by the network."""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import TypedDict

import torch
from torch import Tensor

from lstmcore.errors import PromptError
from lstmcore.export import LanguageModel
from lstmcore.model import State

NEXT_TOKENS = 10
LONGEST_PROMPT = 100_000  # tokens
PROMPT_WINDOW = 512  # tokens read at once
NOTHING_KNOWN = (
    "The model knows nothing of this prompt, so it wrote as if there were none. "
    "Use words from the text it was trained on."
)


class NextToken(TypedDict):
    """A token that may follow the prompt."""

    token: str
    probability: float


@dataclass(frozen=True)
class Prompt:
    """A prompt as the network reads it."""

    ids: list[int]
    before: list[int]  # of these, what the continuation's spelling depends on
    tokens: int
    unknown: list[str]
    notice: str | None


def read_prompt(lm: LanguageModel, prompt: str) -> Prompt:
    """Put a prompt in the form that the training had: what comes before and after it differs.

    Raises PromptError when it is too long.
    """
    tokenizer = lm.tokenizer
    encoding = tokenizer.encode(prompt)
    known = [token for token in encoding.ids if token != tokenizer.unk_id]
    says_something = any(tokenizer.token(token).strip() for token in known)
    lost = bool(encoding.unknown) and not says_something
    ids = [] if lost else encoding.ids
    if len(ids) > LONGEST_PROMPT:
        raise PromptError(
            f"The prompt has {len(ids):,} tokens; {LONGEST_PROMPT:,} are the most. Shorten it."
        )
    notice = NOTHING_KNOWN if lost else None
    if lm.config.preset == "tutorial":
        return Prompt(ids, [], len(ids), encoding.unknown, notice)
    if lm.layout == "pairs":
        return Prompt([*ids, tokenizer.sep_id], [], len(ids), encoding.unknown, notice)
    # a line begins after the end of another; a text's prompt may come from anywhere in it, and
    # without a prompt the text goes on with a new line
    start: list[int] = []
    if lm.layout == "lines":
        start = [tokenizer.eos_id]
    elif not ids:
        new_line = tokenizer.encode("\n")
        start = [tokenizer.eos_id] if new_line.unknown else new_line.ids[-1:] or [tokenizer.eos_id]
    return Prompt([*start, *ids], ids, len(ids), encoding.unknown, notice)


@torch.inference_mode()
def read(lm: LanguageModel, ids: list[int]) -> tuple[Tensor, State]:
    """Read a prompt from the start state: logits after it (1, V) and the state (L, 1, H)."""
    state = lm.model.start_state(1)
    if not ids:
        return lm.model.start_logits(), state
    tokens = torch.tensor([ids])  # (1, T)
    for window in torch.split(tokens, PROMPT_WINDOW, dim=1):
        features, state = lm.model.features(window, state)
    return lm.model.output(features[:, -1]), state


@torch.inference_mode()
def read_many(lm: LanguageModel, prompts: Sequence[list[int]]) -> tuple[Tensor, State]:
    """Read prompts of any lengths side by side: logits (B, V) and the state (L, B, H) after each.

    Longest first, in windows: what has ended already is no longer read.
    """
    lengths = [len(ids) for ids in prompts]
    order = sorted(range(len(prompts)), key=lambda at: -lengths[at])
    h, c = (part.clone() for part in lm.model.start_state(len(prompts)))  # (L, B, H), in order
    for start in range(0, max(lengths, default=0), PROMPT_WINDOW):
        open_ones = [at for at in order if lengths[at] > start]
        windows = [torch.tensor(prompts[at][start : start + PROMPT_WINDOW]) for at in open_ones]
        b = len(windows)
        h[:, :b], c[:, :b] = lm.model.read_ragged(windows, (h[:, :b], c[:, :b]))
    back = torch.tensor(order).argsort() if order else torch.empty(0, dtype=torch.int64)
    h, c = h[:, back], c[:, back]
    return lm.model.output_of(h[-1]), (h, c)


def never_written(lm: LanguageModel) -> list[int]:
    """Ids that no text can be continued with: `<unk>` and `<sep>`."""
    special = (lm.tokenizer.unk_id, lm.tokenizer.sep_id)
    return [token for token in special if token < lm.tokenizer.modelled_size]


def likeliest_next(lm: LanguageModel, logits: Tensor) -> list[NextToken]:
    """The ten likeliest tokens after logits (1, V), before temperature and filters."""
    hidden = never_written(lm)
    probabilities = logits[0].softmax(-1)  # (V,)
    likeliest = probabilities.topk(min(NEXT_TOKENS + len(hidden), len(probabilities)))
    return [
        NextToken(token=lm.tokenizer.token(token), probability=probability)
        for probability, token in zip(
            likeliest.values.tolist(), likeliest.indices.tolist(), strict=True
        )
        if token not in hidden
    ][:NEXT_TOKENS]
