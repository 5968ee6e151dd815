"""Every prefix of a line in one pass, against the lesson's loop over single pairs.

    python -m benchmarks.prefixes

The lesson teaches with one pair at a time: a prefix of a line, and the word after it, the loss
taken at the last position, a step of Adam. The library reads many lines side by side and takes the
loss at every position. Same network (embedding 128, hidden 256, 2,000 words), one thread; what
counts is targets learned from in a second. Then the whole lesson as the library runs it.
"""

import random
import statistics
import time
from collections.abc import Iterator

import torch
from torch import Tensor, nn

from benchmarks.side_by_side import Table, take_turns
from lstmcore.config import resolve_config
from lstmcore.corpus import Corpus, summarize
from lstmcore.training import StepDone, Trainer

WORDS, LINES, LINE_WORDS = 2_000, 1_500, 12
EMBED, HIDDEN = 128, 256
PAIRS_A_ROUND, STEPS_A_ROUND, ROUNDS = 30, 4, 9
LESSON = ("what is your name : Jay", "what is capital of India : Delhi", "ok")


class Lesson(nn.Module):
    """The tutorial's network: a prefix in, the next word out."""

    def __init__(self) -> None:
        super().__init__()
        self.embedding = nn.Embedding(WORDS, EMBED)
        self.lstm = nn.LSTM(EMBED, HIDDEN, batch_first=True)
        self.output = nn.Linear(HIDDEN, WORDS)

    def forward(self, ids: Tensor) -> Tensor:
        """Logits (1, V) after the last of ids (1, T)."""
        hidden, _ = self.lstm(self.embedding(ids))
        return self.output(hidden[:, -1, :])


def main() -> None:
    """Print targets a second of both and the ratio; then the seconds of a lesson."""
    torch.set_num_threads(1)
    pairs = one_by_one()
    steps = (event for event in library().run() if isinstance(event, StepDone))
    learned: list[int] = []
    rivals = {
        "pairs": lambda: [next(pairs) for _ in range(PAIRS_A_ROUND)],
        "one pass": lambda: learned.extend(next(steps).tokens for _ in range(STEPS_A_ROUND)),
    }
    seconds = take_turns(rivals, ROUNDS)
    targets = STEPS_A_ROUND * statistics.mean(learned)
    slow = [PAIRS_A_ROUND / each for each in seconds["pairs"]]
    fast = [targets / each for each in seconds["one pass"]]
    table = Table("every prefix of a line, 128/256")
    table.add("the lesson's loop", f"{statistics.median(slow):,.0f} targets/s")
    table.add("one pass", f"{statistics.median(fast):,.0f} targets/s")
    ratio = statistics.median(b / a for a, b in zip(slow, fast, strict=True))
    table.judge("one pass / loop", ratio, least=50)
    table.judge("a lesson, from text to model", lesson_seconds(), most=2, unit=" s")
    table.print()


def lines() -> list[list[int]]:
    """Lines of random words."""
    chance = random.Random(0)  # noqa: S311
    return [[chance.randrange(WORDS) for _ in range(LINE_WORDS)] for _ in range(LINES)]


def one_by_one() -> Iterator[float]:
    """The lesson's loop over all pairs; yields after each."""
    model = Lesson()
    optimizer = torch.optim.Adam(model.parameters(), lr=0.01)
    pairs = [(line[:end], line[end]) for line in lines() for end in range(1, LINE_WORDS)]
    random.Random(1).shuffle(pairs)  # noqa: S311
    for prefix, target in pairs:
        optimizer.zero_grad()
        loss = nn.functional.cross_entropy(model(torch.tensor([prefix])), torch.tensor([target]))
        loss.backward()
        optimizer.step()
        yield loss.item()


def library() -> Trainer:
    """The same lines and network in the library's hands."""
    texts = Corpus("lines", tuple(" ".join(f"w{word}" for word in line) for line in lines()))
    requested = {
        "preset": "word",
        "tokenizer": {"min_count": 1},
        "model": {
            "embed_dim": EMBED, "hidden_dim": HIDDEN, "layers": 1, "dropout": 0.0,
            "tie_weights": False,
        },
        "training": {"batch_size": 32, "bptt": 35, "optimizer": "adam", "validation_fraction": 0.0},
    }  # fmt: skip
    return Trainer.start(resolve_config(requested, summarize(texts)), texts, threads=1)


def lesson_seconds() -> float:
    """CPU time of one training with the preset `tutorial`, 100 epochs."""
    corpus = Corpus("lines", LESSON)
    found = []
    for _ in range(5):
        began = time.process_time()
        config = resolve_config({"preset": "tutorial"}, summarize(corpus))
        list(Trainer.start(config, corpus, threads=1).run())
        found.append(time.process_time() - began)
    return statistics.median(found)


if __name__ == "__main__":
    main()
