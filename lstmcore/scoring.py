"""How well a model expects a text: log probabilities of its tokens, in nats, and perplexity."""

import json
import math
from collections.abc import Iterable
from dataclasses import dataclass
from itertools import islice
from typing import TypedDict

import numpy as np
import torch
from safetensors.torch import load as load_tensors
from safetensors.torch import save as save_tensors
from torch import Tensor

from lstmcore.batches import Batch, PairBatches, in_order
from lstmcore.corpus import TextSource
from lstmcore.encoding import encode_corpus
from lstmcore.errors import CorpusError, PromptError
from lstmcore.export import LanguageModel
from lstmcore.loss import batch_loss
from lstmcore.model import State
from lstmcore.model_card import perplexity
from lstmcore.preparation import in_memory, joined_pairs
from lstmcore.prompts import LONGEST_PROMPT, PROMPT_WINDOW, read_prompt
from lstmcore.ring import Ring
from lstmcore.tutorial import tutorial_pairs

COUNTED = 1 << 24  # tokens looked at together
NO_TOKENS = "There is no token in this text that the model could expect: give it a longer one."


Found = tuple[float, int, float]  # a token's log probability, the likeliest token and its own


class ScoredToken(TypedDict):
    """A token of the text and the log probability the model gave it, in nats.

    `expected` is what it expected most at this place, which may be the token itself.
    """

    token: str
    logprob: float
    expected: str
    expected_logprob: float


class Score(TypedDict):
    """What a model thinks of a text. `logprob` is the sum, `perplexity` exp(-mean)."""

    tokens: list[ScoredToken]
    logprob: float
    perplexity: float
    unknown_tokens: list[str]  # counted as `<unk>`; left out by the tutorial


@dataclass(frozen=True)
class Evaluation:
    """The mean loss over a corpus, in nats a token."""

    loss: float
    tokens: int  # at which loss was taken
    unknown: int  # of all tokens of the corpus, those the vocabulary lacks
    perplexity: float  # exp(loss)


def score(lm: LanguageModel, text: str, *, prompt: str = "") -> Score:
    """Log probability of each token of `text`, as a continuation of `prompt`.

    The prompt is read as `generate` reads it, and is not scored. Models of lines and of pairs know
    where a text ends, so there the end (`<eos>`) is scored too, of every line. Raises PromptError
    when the text is too long or empty.
    """
    before, after = _split(lm, prompt, text)
    if not after:
        raise PromptError(NO_TOKENS)
    if len(after) > LONGEST_PROMPT:
        raise PromptError(
            f"The text has {len(after):,} tokens; {LONGEST_PROMPT:,} are the most. Shorten it."
        )
    found = _logprobs(lm, before, after)
    total = math.fsum(logprob for logprob, _, _ in found)
    # the space between prompt and text belongs to the text's first word
    joined = bool(prompt) and lm.tokenizer.kind.level == "word"
    return {
        "tokens": [
            {
                "token": lm.tokenizer.token(token),
                "logprob": logprob,
                "expected": lm.tokenizer.token(best),
                "expected_logprob": best_logprob,
            }
            for token, (logprob, best, best_logprob) in zip(after, found, strict=True)
        ],
        "logprob": total,
        "perplexity": perplexity(-total / len(after)),
        "unknown_tokens": lm.tokenizer.encode(text.removeprefix(" ") if joined else text).unknown,
    }


class Evaluating:
    """An evaluation that can be left after any step and taken up again, elsewhere too.

    A long text is read as several streams side by side, so a few first tokens of each are read
    with little before them.
    """

    def __init__(self, lm: LanguageModel, corpus: TextSource, saved: bytes | None = None) -> None:
        """`saved` is what `save` gave, of the same model and text.

        Raises CorpusError when the corpus has another layout than the model's.
        """
        if corpus.layout != lm.layout:
            raise CorpusError(
                f"The model was trained on {lm.layout}, this corpus is {corpus.layout}: "
                f"read it with layout={lm.layout!r}."
            )
        self._lm = lm
        batches, self._carries, self.unknown = _batches(lm, corpus)
        self.step, self.tokens, self._total = 0, 0, 0.0
        self._state: State | None = None
        if saved is not None:
            self._restore(saved)
        self._left = islice(batches, self.step, None)

    @torch.inference_mode()
    def advance(self) -> bool:
        """Read a little more; False at the end."""
        batch = next(self._left, None)
        if batch is None:
            return False
        loss, after = batch_loss(self._lm.model, batch, self._state)
        self._state = after if self._carries else None
        self._total += loss.item() * batch.tokens
        self.tokens += batch.tokens
        self.step += 1
        return True

    def save(self) -> bytes:
        """Where it is, as a safetensors file."""
        numbers = {"step": self.step, "tokens": self.tokens, "total": self._total.hex()}
        memory = self._state or ()
        tensors = {str(place): tensor.contiguous() for place, tensor in enumerate(memory)}
        return save_tensors(tensors, {"evaluation": json.dumps(numbers)})

    def result(self) -> Evaluation:
        """What was found so far. Raises CorpusError when there was no token to score."""
        if self.tokens == 0:
            raise CorpusError(NO_TOKENS)
        loss = self._total / self.tokens
        return Evaluation(loss, self.tokens, self.unknown, perplexity(loss))

    def _restore(self, saved: bytes) -> None:
        size = int.from_bytes(saved[:8], "little")
        numbers = json.loads(json.loads(saved[8 : 8 + size])["__metadata__"]["evaluation"])
        self.step, self.tokens = numbers["step"], numbers["tokens"]
        self._total = float.fromhex(numbers["total"])
        tensors = load_tensors(saved)
        self._state = (tensors["0"], tensors["1"]) if tensors else None


def evaluate(lm: LanguageModel, corpus: TextSource) -> Evaluation:
    """The mean loss over a whole corpus, measured as a training measures its held-out text.

    Raises CorpusError when the corpus has another layout than the model's, or no token that could
    be scored.
    """
    evaluating = Evaluating(lm, corpus)
    while evaluating.advance():
        pass
    return evaluating.result()


def _split(lm: LanguageModel, prompt: str, text: str) -> tuple[list[int], list[int]]:
    """Ids that are read first, and ids that are scored."""
    tokenizer = lm.tokenizer
    before = read_prompt(lm, prompt).ids
    if lm.config.preset == "tutorial":
        return before, tokenizer.encode(text).ids
    if lm.layout == "pairs":
        return before, [*tokenizer.encode(text).ids, tokenizer.eos_id]
    lines = text.split("\n") if lm.layout == "lines" else [text]
    known = tokenizer.encode(prompt).ids
    first, *rest = tokenizer.encode_batch([prompt + lines[0], *lines[1:]])
    # how a text begins may depend on what is before it, such as a space
    goes_on = first[: len(known)] == known
    after = first[len(known) :] if goes_on else tokenizer.encode(lines[0]).ids
    if lm.layout == "lines":
        after = [*after, tokenizer.eos_id]
        for line in rest:
            after += [*line, tokenizer.eos_id] if line else []
    return before, after


@torch.inference_mode()
def _logprobs(lm: LanguageModel, before: list[int], after: list[int]) -> list[Found]:
    """Log probabilities of `after`, each given all that is before it, and what is likeliest."""
    found: list[Found] = []
    if not before:
        found += _gathered(lm.model.start_logits(), torch.tensor(after[:1]))
    inputs = torch.tensor([*before, *after])[:-1]  # (T,)
    targets = torch.tensor([*before, *after])[1:]
    state = lm.model.start_state(1)
    first = max(0, len(before) - 1)  # position of the first scored target
    for start in range(0, len(inputs), PROMPT_WINDOW):
        window = slice(start, start + PROMPT_WINDOW)
        features, state = lm.model.features(inputs[None, window], state)  # (1, T, H)
        skipped = max(0, first - start)
        wanted = features[0, skipped:]
        if len(wanted) > 0:
            found += _gathered(lm.model.output(wanted), targets[window][skipped:])
    return found


def _gathered(logits: Tensor, targets: Tensor) -> list[Found]:
    """From logits (T, V): of each target (T,) the log probability, then the likeliest token's."""
    logprobs = logits.log_softmax(-1)
    best, likeliest = logprobs.max(-1)
    given = logprobs.gather(1, targets[:, None])[:, 0]
    return list(zip(given.tolist(), likeliest.tolist(), best.tolist(), strict=True))


def _batches(lm: LanguageModel, corpus: TextSource) -> tuple[Iterable[Batch], bool, int]:
    """Batches over the whole corpus, whether the state is carried on, and unknown tokens."""
    tokenizer, training = lm.tokenizer, lm.config.training
    if lm.config.preset == "tutorial":
        pairs = tutorial_pairs(in_memory(corpus), tokenizer)
        contexts = torch.tensor([pair.context for pair in pairs])  # (N, 4)
        targets = torch.tensor([pair.target for pair in pairs])  # (N,)
        return [Batch(contexts, targets, len(pairs))], False, 0
    if corpus.layout == "pairs":
        joined = list(joined_pairs(in_memory(corpus), tokenizer))
        unknown = sum(int((pair.ids == tokenizer.unk_id).sum()) for pair in joined)
        return PairBatches(joined, joined, training).validation(), False, unknown
    ids = encode_corpus(corpus, tokenizer)
    if len(ids.values) == 0:
        raise CorpusError(NO_TOKENS)
    unknown = sum(
        int(np.count_nonzero(ids.values[start : start + COUNTED] == tokenizer.unk_id))
        for start in range(0, len(ids.values), COUNTED)
    )
    ring = Ring.of(ids.values)
    if corpus.layout == "lines":  # they begin after the end of another; a text with its first token
        size = len(ids.values)
        ring = Ring(ids.values, np.array([size - 1, 0]), np.array([1, size]))
    return in_order(ring, training), True, unknown
