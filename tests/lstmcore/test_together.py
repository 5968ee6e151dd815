"""Prompts side by side: each is answered as it is alone."""

import random
from typing import Any

import pytest
import torch

from lstmcore.config import Sampling
from lstmcore.corpus import Corpus
from lstmcore.errors import PromptError
from lstmcore.export import LanguageModel
from lstmcore.prompts import LONGEST_PROMPT, PROMPT_WINDOW, read, read_many
from lstmcore.sampling import Prediction, generate, stream
from lstmcore.together import Together, generate_many, stream_many
from lstmcore.training import Trainer
from tests.lstmcore.trainings import LESSON, LINES, PAIRS, TEXT, config, lesson_config, run_through

KINDS = [(TEXT, "char"), (TEXT, "word"), (LINES, "subword"), (PAIRS, "word")]
ODD = ("", "sea", "the sun rose", "Nobody", "unheard ☃ words", "what is the capital of peru", "\n")


@pytest.fixture(scope="module", params=KINDS, ids=lambda kind: f"{kind[0].layout}-{kind[1]}")
def lm(request: pytest.FixtureRequest) -> LanguageModel:
    corpus, preset = request.param
    settings = config(corpus, preset, epochs=4, layers=2, tie_weights=True, learning_rate=0.01)
    trainer = Trainer.start(settings, corpus, threads=1)
    run_through(trainer)
    return trainer.language_model


def some_settings(seed: int) -> Sampling:
    draw = random.Random(seed)  # noqa: S311
    return Sampling(
        max_tokens=draw.choice([0, 1, 7, 30]),
        temperature=draw.choice([0, 0.7, 1.0, 1.0]),
        top_k=draw.choice([0, 0, 5]),
        top_p=draw.choice([1.0, 0.9]),
        min_p=draw.choice([0.0, 0.0, 0.05]),
        repetition_penalty=draw.choice([1.0, 1.3]),
        stop=draw.choice([[], ["e"], [" the", "ea"]]),
        seed=seed,
        n=draw.choice([1, 1, 3]),
        beams=draw.choice([1, 1, 1, 4]),
        logprobs=draw.choice([True, False]),
    )


def about(prediction: Prediction) -> Any:
    """The same with numbers that are compared as numbers: rounding differs with more rows."""

    def softened(value: Any) -> Any:
        if isinstance(value, float):
            return pytest.approx(value, rel=1e-4, abs=1e-5)
        if isinstance(value, dict):
            return {name: softened(inner) for name, inner in value.items()}
        return [softened(inner) for inner in value] if isinstance(value, list) else value

    return softened(prediction)


def test_together_is_as_alone(lm: LanguageModel) -> None:
    prompts = [ODD[at % len(ODD)] for at in range(40)]
    samplings = [some_settings(at) for at in range(40)]
    together = generate_many(lm, prompts, samplings)
    for prompt, sampling, found in zip(prompts, samplings, together, strict=True):
        assert found == about(generate(lm, prompt, sampling))


def test_pieces_are_those_of_a_stream(lm: LanguageModel) -> None:
    samplings = [some_settings(100 + at) for at in range(len(ODD))]
    told: list[list[str | Prediction]] = [[] for _ in ODD]
    for at, item in stream_many(lm, ODD, samplings):
        told[at].append(item)
    for prompt, sampling, items in zip(ODD, samplings, told, strict=True):
        *pieces, result = items
        *expected, last = stream(lm, prompt, sampling)
        assert pieces == expected
        assert not isinstance(last, str)
        assert result == about(last)


def test_prompts_may_join_at_any_time(lm: LanguageModel) -> None:
    together, draw = Together(lm), random.Random(3)  # noqa: S311
    asked: dict[int, tuple[str, Sampling]] = {}
    found: dict[int, Prediction] = {}
    while len(found) < 25:
        if len(asked) < 25 and draw.random() < 0.5:
            prompt, sampling = draw.choice(ODD), some_settings(draw.randrange(1000))
            asked[together.add(prompt, sampling)] = (prompt, sampling)
        found |= {handle: item for handle, item in together.step() if not isinstance(item, str)}
        assert together.unfinished == len(asked) - len(found)
    for handle, (prompt, sampling) in asked.items():
        assert found[handle] == about(generate(lm, prompt, sampling))


def test_prompts_of_any_lengths_are_read_as_alone(lm: LanguageModel) -> None:
    size = lm.tokenizer.modelled_size
    lengths = [0, 1, 3, PROMPT_WINDOW, PROMPT_WINDOW + 1, 2 * PROMPT_WINDOW + 7, 2, 0, 40]
    prompts = [torch.randint(size, (length,)).tolist() for length in lengths]
    logits, (h, c) = read_many(lm, prompts)
    for row, ids in enumerate(prompts):
        alone, (h_alone, c_alone) = read(lm, ids)
        torch.testing.assert_close(logits[row : row + 1], alone, rtol=1e-4, atol=1e-5)
        torch.testing.assert_close(h[:, row : row + 1], h_alone, rtol=1e-4, atol=1e-5)
        torch.testing.assert_close(c[:, row : row + 1], c_alone, rtol=1e-4, atol=1e-5)


def test_one_can_be_ended_without_the_others(lm: LanguageModel) -> None:
    together = Together(lm)
    long = Sampling(max_tokens=60, temperature=1.0, seed=1)
    first, second, third = (together.add(prompt, long) for prompt in ("the", "sea", "hill"))
    for _ in range(3):
        together.step()
    together.cancel(second)
    together.cancel(third)
    together.cancel(99)  # unknown: nothing happens
    ended = dict(item for item in together.step() if not isinstance(item[1], str))
    for handle in (second, third):
        if handle in ended:  # it may have ended on its own before
            completion = ended[handle]["completions"][0]  # type: ignore[index]
            assert completion["finish_reason"] == "cancelled"
    while together.unfinished:
        ended |= dict(together.step())
    assert ended[first] == about(generate(lm, "the", long))


def test_all_end_when_told(lm: LanguageModel) -> None:
    answers = iter([False, False, True])
    asked = [Sampling(max_tokens=200, seed=at, n=2) for at in range(3)]
    found = generate_many(lm, ["a", "", "sea"], asked, should_stop=lambda: next(answers))
    for prediction in found:
        for completion in prediction["completions"]:
            assert completion["tokens"] <= 2
            assert completion["finish_reason"] in {"cancelled", "stop"}


def test_the_lesson_writes_one_word_for_each() -> None:
    trainer = Trainer.start(lesson_config(), LESSON, threads=1)
    run_through(trainer)
    lm = trainer.language_model
    prompts = ["what is capital of", "what is your name", "", "ok"]
    asked = [Sampling(temperature=0)] * 4
    found = generate_many(lm, prompts, asked)
    assert [each["completions"][0]["text"] for each in found[:2]] == ["india", "jay"]
    for prompt, prediction in zip(prompts, found, strict=True):
        assert prediction == about(generate(lm, prompt, asked[0]))


def test_wrong_use_is_refused_before_anything_is_written(lm: LanguageModel) -> None:
    assert generate_many(lm, [], []) == []
    with pytest.raises(ValueError, match="zip"):
        generate_many(lm, ["a", "b"], [Sampling()])
    with pytest.raises(PromptError, match="Shorten"):
        generate_many(lm, ["a", "the " * (LONGEST_PROMPT + 1)], [Sampling(), Sampling()])


def test_torch_is_left_as_it_was() -> None:
    lines = Corpus("lines", ("ab", "ba"))
    lm = Trainer.start(config(lines, "char"), lines, threads=1).language_model
    torch.manual_seed(1)
    before = torch.get_rng_state()
    for _ in stream_many(lm, ["a", "b"], [Sampling(max_tokens=5)] * 2):
        assert torch.is_grad_enabled()
        assert not torch.is_inference_mode_enabled()
    assert torch.equal(torch.get_rng_state(), before)
