"""Beam search: as wide as the tree, it finds the likeliest text there is."""

import math
from collections.abc import Iterator

import pytest
import torch

from lstmcore.config import Sampling, parse_sampling
from lstmcore.corpus import Corpus
from lstmcore.errors import ConfigError
from lstmcore.export import LanguageModel
from lstmcore.prompts import never_written, read_prompt
from lstmcore.sampling import generate, stream
from lstmcore.training import Trainer
from tests.lstmcore.trainings import LESSON, config, lesson_config, run_through

LONGEST = 4  # tokens: with three letters 3**4 open texts at the end
TREE = 81
LINES = Corpus("lines", ("abc", "cab", "bca", "aab", "cc", "b") * 2)


@pytest.fixture(scope="module", params=[1, 2, 3])
def tiny(request: pytest.FixtureRequest) -> LanguageModel:
    """Three letters and an end, with weights that mean something."""
    settings = {"epochs": 8, "learning_rate": 0.02, "validation_fraction": 0.0}
    trainer = Trainer.start(config(LINES, "char", **settings, seed=request.param), LINES, threads=1)
    run_through(trainer)
    return trainer.language_model


def every_text(lm: LanguageModel, prompt: str) -> Iterator[tuple[str, float]]:
    """All continuations of at most LONGEST tokens, each with its total log probability."""
    start = read_prompt(lm, prompt).ids
    writable = set(range(lm.tokenizer.modelled_size)) - set(never_written(lm))

    def grow(ids: list[int], total: float) -> Iterator[tuple[str, float]]:
        text = lm.tokenizer.decode(ids)
        if len(ids) == LONGEST:
            yield text, total
            return
        with torch.no_grad():
            steps = lm.model(torch.tensor([[*start, *ids]]))[0][0, -1].log_softmax(-1).tolist()
        for token in writable:
            if token == lm.tokenizer.eos_id:
                yield text, total + steps[token]
            else:
                yield from grow([*ids, token], total + steps[token])

    yield from grow([], 0.0)


@pytest.mark.parametrize("prompt", ["", "a", "cb"])
def test_a_beam_as_wide_as_the_tree_is_exhaustive(
    tiny: LanguageModel, prompt: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    asked = Sampling(max_tokens=LONGEST, n=10, beams=64).model_copy(update={"beams": TREE})
    found = [each["text"] for each in generate(tiny, prompt, asked)["completions"]]
    texts = sorted(every_text(tiny, prompt), key=lambda each: -each[1])
    assert found == [text for text, _ in texts[:10]]
    assert math.fsum(math.exp(total) for _, total in texts) <= 1 + 1e-5


def test_it_is_deterministic_and_never_worse_when_exhaustive(tiny: LanguageModel) -> None:
    totals = dict(every_text(tiny, "a"))
    greedy = generate(tiny, "a", Sampling(max_tokens=LONGEST, temperature=0))
    for beams in (2, 5, 64):
        asked = Sampling(max_tokens=LONGEST, beams=beams, n=2, seed=1)
        one, other = generate(tiny, "a", asked), generate(tiny, "a", asked)
        assert one == other
        best, second = (each["text"] for each in one["completions"])
        assert totals[best] >= totals[second]
    assert totals[best] >= totals[greedy["completions"][0]["text"]]


def test_the_stream_tells_the_best_text(tiny: LanguageModel) -> None:
    *pieces, result = stream(tiny, "a", Sampling(max_tokens=9, beams=4, n=3, logprobs=True))
    assert isinstance(result, dict)
    assert "".join(map(str, pieces)) == result["completions"][0]["text"]
    for each in result["completions"]:
        assert each["tokens"] == len(each["logprobs"])
        assert each["finish_reason"] in {"stop", "length"}


def test_stops_end_a_text(tiny: LanguageModel) -> None:
    for stop in ("b", "ab", "ca"):
        for each in generate(tiny, "a", Sampling(max_tokens=6, beams=8, n=8, stop=[stop]))[
            "completions"
        ]:
            assert stop not in each["text"]


def test_nothing_asked_for_is_nothing_written(tiny: LanguageModel) -> None:
    result = generate(tiny, "a", Sampling(max_tokens=0, beams=3))
    assert result["completions"] == [
        {"text": "", "tokens": 0, "finish_reason": "length", "logprob": 0.0}
    ]


def test_it_stops_when_told(tiny: LanguageModel) -> None:
    result = generate(tiny, "a", Sampling(beams=3), should_stop=lambda: True)
    assert result["completions"][0]["finish_reason"] == "cancelled"


def test_the_lesson_answers_with_one_word() -> None:
    trainer = Trainer.start(lesson_config(), LESSON, threads=1)
    run_through(trainer)
    result = generate(trainer.language_model, "what is capital of", Sampling(beams=3, n=2))
    assert [each["finish_reason"] for each in result["completions"]] == ["stop", "stop"]
    assert result["completions"][0]["text"] == "india"


def test_a_search_narrower_than_what_is_wanted_is_refused() -> None:
    with pytest.raises(ConfigError, match="beams"):
        parse_sampling({"beams": 2, "n": 3})
    assert parse_sampling({"n": 3}).beams == 1
