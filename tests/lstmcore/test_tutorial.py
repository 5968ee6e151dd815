"""The tutorial preset is the recipe itself: the same numbers, to the bit, as the plain script."""

import re
from pathlib import Path
from typing import Any

import pytest
import torch
from torch import Tensor, nn
from torch.utils.data import DataLoader, Dataset

from lstmcore.checkpoint import load_checkpoint
from lstmcore.config import Sampling
from lstmcore.corpus import Corpus
from lstmcore.errors import LSTMError
from lstmcore.export import load_model
from lstmcore.sampling import generate
from lstmcore.training import Evaluated, StepDone, Trainer
from tests.lstmcore.trainings import (
    LESSON,
    differences,
    lesson_config,
    run_in_pieces,
    run_through,
    saved,
)

WORDS = ["capital", "delhi", "india", "is", "jay", "name", "of", "ok", "what", "your"]
LONGER = Corpus(
    "lines",
    (
        *LESSON.documents,
        "the cat sat on mats",
        "a dog ran over hills all day",
        "what is capital of Peru : Lima",
        "one two three four five",
        "why",
    ),
)


class FifthWords(Dataset[tuple[Tensor, Tensor]]):
    """The plain script's data: four words and the fifth."""

    def __init__(self, pairs: list[tuple[list[int], int]]) -> None:
        self.pairs = pairs

    def __len__(self) -> int:
        return len(self.pairs)

    def __getitem__(self, index: int) -> tuple[Tensor, Tensor]:
        context, target = self.pairs[index]
        return torch.tensor(context), torch.tensor(target)


class PlainModel(nn.Module):
    """The plain script's network."""

    def __init__(self, words: int) -> None:
        super().__init__()
        self.table = nn.Embedding(words, 10)
        self.memory = nn.LSTM(10, 20, batch_first=True)
        self.answer = nn.Linear(20, words)

    def forward(self, context: Tensor) -> Tensor:
        outputs, _ = self.memory(self.table(context))
        answer: Tensor = self.answer(outputs[:, -1, :])
        return answer


def plain_script(corpus: Corpus, seed: int) -> tuple[list[float], list[float], dict[str, Tensor]]:
    """The recipe written down once more: every loss, the reported ones, the final weights."""
    lines = [re.sub("[^a-zA-Z ]", "", line.lower()).split() for line in corpus.documents]
    numbers = {word: number for number, word in enumerate(sorted({w for ws in lines for w in ws}))}
    pairs = [
        ([numbers[word] for word in words[:4]], numbers[words[4]])
        for words in lines
        if len(words) >= 5
    ]
    torch.manual_seed(seed)
    model = PlainModel(len(numbers))
    measure = nn.CrossEntropyLoss()
    optimizer = torch.optim.Adam(model.parameters(), lr=0.01)
    loader = DataLoader(FifthWords(pairs), batch_size=1, shuffle=True)
    losses, reported = [], []
    for epoch in range(100):
        for context, target in loader:
            optimizer.zero_grad()
            loss = measure(model(context), target)
            loss.backward()
            optimizer.step()
            losses.append(loss.item())
        if epoch % 10 == 0:
            reported.append(losses[-1])
    names = {"table.": "embedding.", "memory.": "lstm.", "answer.": "output."}
    weights = {
        re.sub(r"^\w+\.", lambda found: names[found.group()], name): tensor.detach()
        for name, tensor in model.state_dict().items()
    }
    return losses, reported, weights


@pytest.fixture(autouse=True)
def _one_thread_and_own_random_numbers() -> Any:
    torch.set_num_threads(1)
    with torch.random.fork_rng(devices=[]):
        yield


@pytest.mark.parametrize("seed", [0, 7])
@pytest.mark.parametrize("corpus", [LESSON, LONGER], ids=["lesson", "longer"])
@pytest.mark.parametrize("items", [1, 7, 100_000])
def test_it_is_the_plain_script_also_when_interrupted(
    corpus: Corpus, seed: int, items: int, tmp_path: Path
) -> None:
    losses, reported, weights = plain_script(corpus, seed)
    trainer = Trainer.start(lesson_config(seed=seed), corpus)
    told = run_in_pieces(trainer, corpus, tmp_path, items)

    assert [item.loss for item in told if isinstance(item, StepDone)] == losses
    evaluations = [item for item in told if isinstance(item, Evaluated)]
    assert [item.train_loss for item in evaluations] == [*reported, losses[-1]]
    assert [item.epoch for item in evaluations] == [*range(1, 100, 10), 100]
    assert all(item.validation_loss is None and item.is_best for item in evaluations)
    trained = load_checkpoint(tmp_path / "end.safetensors").part("model")
    written = load_model(tmp_path / "best").model.tensors()
    assert trained.keys() == written.keys() == weights.keys()
    for name, tensor in weights.items():
        assert torch.equal(trained[name], tensor), name
        assert torch.equal(written[name], tensor), name


def test_trainers_of_it_can_take_turns(tmp_path: Path) -> None:
    alone = Trainer.start(lesson_config(), LONGER)
    run_through(alone)
    together = [Trainer.start(lesson_config(), LONGER) for _ in range(2)]
    runs = [trainer.run() for trainer in together]
    while any([next(run, None) for run in runs]):  # noqa: C419 - each of them takes its turn
        torch.rand(3)
    for trainer in together:
        assert list(differences(saved(alone, tmp_path), saved(trainer, tmp_path))) == []


def test_it_says_india(tmp_path: Path) -> None:
    trainer = Trainer.start(lesson_config(), LESSON)
    run_through(trainer)
    trainer.write_best(tmp_path)
    model = load_model(tmp_path)
    assert [model.tokenizer.token(index) for index in range(10)] == WORDS
    assert model.tokenizer.modelled_size == model.model.embedding.num_embeddings == 10
    assert model.tokenizer.encode("what is capital of").ids == [8, 3, 0, 6]
    assert model.model.embedding(torch.tensor([8, 3, 0, 6])).shape == (4, 10)

    for seed in range(5):  # a word at temperature 1 is nearly certain by now; greedy is certain
        asked = Sampling(temperature=0, seed=seed)
        answer = generate(model, "what is capital of", asked)
        assert answer["completions"][0]["text"] == "india"
        assert answer["completions"][0]["tokens"] == 1
        assert answer["next_tokens"][0]["token"] == "india"
        assert answer["next_tokens"][0]["probability"] > 0.9
    assert generate(model, "What is your name?", asked)["completions"][0]["text"] == "jay"


def test_unknown_words_are_left_out_and_told(tmp_path: Path) -> None:
    trainer = Trainer.start(lesson_config(epochs=1), LESSON)
    known = generate(trainer.language_model, "what is the capital of", Sampling(temperature=0))
    assert known["unknown_tokens"] == ["the"]
    assert known["prompt_tokens"] == 4
    assert "notice" not in known
    strange = generate(trainer.language_model, "quo vadis", Sampling(temperature=0))
    assert strange["unknown_tokens"] == ["quo", "vadis"]
    assert strange["prompt_tokens"] == 0
    assert "notice" in strange
    empty = generate(trainer.language_model, "", Sampling(temperature=0))
    assert empty["next_tokens"] == strange["next_tokens"]
    assert "notice" not in empty


def test_a_text_without_a_line_of_five_words_is_refused() -> None:
    with pytest.raises(LSTMError, match="five words"):
        Trainer.start(lesson_config(), Corpus("lines", ("too short a line", "ok")))
