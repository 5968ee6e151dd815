"""A text's perplexity is what an independent computation gives, and what training measured."""

import math
from itertools import pairwise
from typing import Any

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from lstmcore.batches import held_out
from lstmcore.config import Sampling
from lstmcore.corpus import Corpus
from lstmcore.errors import CorpusError, PromptError
from lstmcore.export import LanguageModel
from lstmcore.sampling import generate
from lstmcore.scoring import Evaluating, evaluate, score
from lstmcore.training import Trainer
from tests.lstmcore.trainings import (
    CORPORA,
    FACTS,
    LESSON,
    LINES,
    PAIRS,
    TEXT,
    config,
    lesson_config,
    run_through,
)  # fmt: skip

FEW = {"epochs": 3, "learning_rate": 0.01}


def trained(corpus: Corpus, preset: str = "word", **given: Any) -> tuple[LanguageModel, Trainer]:
    trainer = Trainer.start(config(corpus, preset, **{**FEW, **given}), corpus, threads=1)
    run_through(trainer)
    return trainer.language_model, trainer


@pytest.fixture(scope="module", params=["text", "lines", "pairs"])
def model(request: pytest.FixtureRequest) -> LanguageModel:
    return trained(CORPORA[request.param], layers=2)[0]


def surprise(lm: LanguageModel, ids: list[int], scored: int) -> list[float]:
    """Log probabilities of the last `scored` ids, computed step by step in float64."""
    network = lm.model
    cell = {name: tensor.double() for name, tensor in network.lstm.state_dict().items()}
    layers, hidden = network.lstm.num_layers, network.lstm.hidden_size
    h = [torch.zeros(hidden, dtype=torch.float64) for _ in range(layers)]
    c = [torch.zeros(hidden, dtype=torch.float64) for _ in range(layers)]
    found = []
    for token, following in pairwise(ids):
        below = network.embedding.weight[token].double()
        for layer in range(layers):
            i, f, g, o = (
                cell[f"weight_ih_l{layer}"] @ below
                + cell[f"bias_ih_l{layer}"]
                + cell[f"weight_hh_l{layer}"] @ h[layer]
                + cell[f"bias_hh_l{layer}"]
            ).chunk(4)
            c[layer] = f.sigmoid() * c[layer] + i.sigmoid() * g.tanh()
            below = h[layer] = o.sigmoid() * c[layer].tanh()
        logits = network.output.weight.double() @ below + network.output.bias.double()
        found.append((logits[following] - logits.logsumexp(0)).item())
    return found[-scored:]


def asked_ids(lm: LanguageModel, prompt: str, text: str) -> tuple[list[int], int]:
    tokenizer = lm.tokenizer
    first, second = tokenizer.encode(prompt).ids, tokenizer.encode(text.strip()).ids
    if lm.layout == "pairs":
        return [*first, tokenizer.sep_id, *second, tokenizer.eos_id], len(second) + 1
    if lm.layout == "lines":
        return [tokenizer.eos_id, *first, *second, tokenizer.eos_id], len(second) + 1
    return [*first, *second], len(second)


@torch.no_grad()
def test_perplexity_is_that_of_an_independent_computation(model: LanguageModel) -> None:
    prompt, text = {
        "text": ("The sun", " rose over the hill and the zebra"),
        "lines": ("ann sees", " the owl zebra"),
        "pairs": ("what is the colour of snow", "white deep zebra"),
    }[model.layout]
    result = score(model, text, prompt=prompt)
    ids, count = asked_ids(model, prompt, text)
    expected = surprise(model, ids, count)
    assert [each["logprob"] for each in result["tokens"]] == pytest.approx(expected, abs=1e-5)
    assert result["logprob"] == pytest.approx(math.fsum(expected), abs=1e-4)
    assert result["perplexity"] == pytest.approx(math.exp(-math.fsum(expected) / count), rel=1e-5)
    assert result["unknown_tokens"] == ["zebra"]
    assert [each["token"] for each in result["tokens"]] == [
        model.tokenizer.token(index) for index in ids[-count:]
    ]


def test_a_written_text_has_the_score_it_was_written_with(model: LanguageModel) -> None:
    prompt = {"text": "The hill", "lines": "bob", "pairs": "who"}[model.layout]
    for seed in range(8):
        asked = Sampling(max_tokens=12, seed=seed, logprobs=True)
        written = generate(model, prompt, asked)["completions"][0]
        if written["tokens"] == 0:
            continue
        tokens = score(model, written["text"], prompt=prompt)["tokens"][: written["tokens"]]
        assert [each["token"] for each in tokens] == [each["token"] for each in written["logprobs"]]
        assert math.fsum(each["logprob"] for each in tokens) == pytest.approx(
            written["logprob"], abs=1e-4
        )


def test_a_long_text_scores_as_if_read_at_once() -> None:
    lm, _ = trained(TEXT, "char")
    text = TEXT.documents[0] * 5
    result = score(lm, text)
    ids = [lm.tokenizer.encode("\n").ids[0], *lm.tokenizer.encode(text).ids]
    with torch.no_grad():
        logits = lm.model(torch.tensor([ids]))[0][0, :-1]
    expected = -torch.nn.functional.cross_entropy(logits, torch.tensor(ids[1:]), reduction="sum")
    assert len(result["tokens"]) == len(ids) - 1 > 1024
    assert result["logprob"] == pytest.approx(expected.item(), rel=1e-5)


@given(st.text(max_size=60))
@settings(deadline=None, max_examples=50)
def test_any_text_has_a_score_or_a_reason(text: str) -> None:
    for lm in (LINES_MODEL, PAIRS_MODEL):
        result = score(lm, text)
        assert math.isfinite(result["logprob"])
        assert result["perplexity"] >= 1
        assert all(each["logprob"] <= 0 for each in result["tokens"])


LINES_MODEL, _ = trained(LINES)
PAIRS_MODEL, _ = trained(PAIRS, "char")


@pytest.mark.parametrize("preset", ["word", "char"])
@pytest.mark.parametrize("layout", ["text", "lines", "pairs"])
def test_evaluation_repeats_what_training_measured(layout: str, preset: str) -> None:
    """On the held-out part alone, it is the validation loss to the last evaluation."""
    corpus = CORPORA[layout]
    lm, trainer = trained(corpus, preset, validation_fraction=0.3)
    training = lm.config.training
    if layout == "text":
        ids = lm.tokenizer.encode(corpus.documents[0]).ids
        rest = ids[len(ids) - int(len(ids) * 0.3) :]
        text = lm.tokenizer.decode(rest)
        if lm.tokenizer.encode(text).ids != rest:
            pytest.skip("the cut is inside a word's space")
        part = Corpus("text", (text,))
    else:
        _, chosen = held_out(len(corpus.documents), 0.3, training.seed)
        part = Corpus(
            corpus.layout,
            tuple(corpus.documents[at] for at in chosen),
            tuple(corpus.completions[at] for at in chosen) if corpus.completions else (),
        )
    found = evaluate(lm, part)
    assert found.loss == pytest.approx(trainer.history[-1]["validation_loss"], rel=1e-6)
    assert found.perplexity == pytest.approx(math.exp(found.loss))
    assert found.unknown == 0


def test_the_lesson_is_scored_at_its_fifth_words() -> None:
    trainer = Trainer.start(lesson_config(), LESSON, threads=1)
    run_through(trainer)
    lm = trainer.language_model
    found = evaluate(lm, LESSON)
    assert found.tokens == 2
    assert found.perplexity < 1.2
    sure = score(lm, "india", prompt="what is capital of")
    assert sure["perplexity"] < 1.2
    assert score(lm, "what zebra is")["unknown_tokens"] == ["zebra"]


def test_facts_known_by_heart_are_expected() -> None:
    lm, _ = trained(PAIRS, epochs=60, hidden_dim=32, learning_rate=0.02, validation_fraction=0.0)
    assert evaluate(lm, PAIRS).perplexity < 1.2
    for prompt, answer in FACTS.items():
        assert score(lm, answer, prompt=prompt)["perplexity"] < 1.5
    strange = Corpus("pairs", ("what is the zebra",), ("Lima zebra",))
    assert evaluate(lm, strange).unknown == 2


def test_what_cannot_be_scored_is_refused() -> None:
    text_model, _ = trained(TEXT)
    with pytest.raises(PromptError, match="no token"):
        score(text_model, "")
    with pytest.raises(CorpusError, match="layout='text'"):
        evaluate(text_model, LINES)


@pytest.mark.parametrize("left_after", [0, 1])
def test_an_evaluation_taken_up_again_finds_the_same(model: LanguageModel, left_after: int) -> None:
    corpus = CORPORA[model.layout]
    whole = evaluate(model, corpus)
    first = Evaluating(model, corpus)
    for _ in range(left_after):
        assert first.advance()
    again = Evaluating(model, corpus, first.save())
    assert again.step == left_after
    while again.advance():
        pass
    assert again.result() == whole
