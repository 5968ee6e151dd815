"""Nearest tokens by the angle between their vectors."""

import math

import pytest
import torch

from lstmcore.embeddings import embedding, nearest_tokens
from lstmcore.errors import PromptError
from lstmcore.export import LanguageModel
from lstmcore.training import Trainer
from tests.lstmcore.trainings import LESSON, LINES, config, lesson_config


@pytest.fixture(scope="module")
def model() -> LanguageModel:
    return Trainer.start(config(LINES), LINES, threads=1).language_model


def test_neighbours_are_all_others_in_the_order_of_their_cosine(model: LanguageModel) -> None:
    found = nearest_tokens(model, "owl", 1000)
    words = {model.tokenizer.token(at) for at in range(model.tokenizer.unk_id)}
    assert {each["token"] for each in found} == words - {" owl"}
    one = embedding(model, "owl")
    assert one.shape == (8,)
    for each in found:
        other = embedding(model, each["token"].strip())
        cosine = (one @ other / (one.norm() * other.norm())).item()
        assert each["similarity"] == pytest.approx(cosine, abs=1e-5)
    similarities = [each["similarity"] for each in found]
    assert similarities == sorted(similarities, reverse=True)
    assert nearest_tokens(model, "owl", 2) == found[:2]
    assert nearest_tokens(model, "owl", 0) == []


def test_the_angle_counts_and_not_the_length(model: LanguageModel) -> None:
    owl, sea = (model.tokenizer.encode(word).ids[0] for word in ("owl", "sea"))
    weight = model.model.embedding.weight
    before = weight.detach().clone()
    with torch.no_grad():
        weight[sea] = weight[owl] * 7
    nearest = nearest_tokens(model, "owl", 1)[0]
    assert nearest["token"].strip() == "sea"
    assert nearest["similarity"] == pytest.approx(1, abs=1e-6)
    with torch.no_grad():
        weight.zero_()
    assert all(math.isfinite(each["similarity"]) for each in nearest_tokens(model, "owl"))
    with torch.no_grad():
        weight.copy_(before)


def test_a_vector_is_a_copy(model: LanguageModel) -> None:
    embedding(model, "owl").zero_()
    assert embedding(model, "owl").abs().sum() > 0


@pytest.mark.parametrize(
    ("word", "reason"),
    [("zebra", "does not know 'zebra'"), ("the owl", "2 tokens"), ("", "0 tokens")],
)
def test_only_one_known_token_has_a_vector(model: LanguageModel, word: str, reason: str) -> None:
    with pytest.raises(PromptError, match=reason):
        nearest_tokens(model, word)


def test_the_lesson_has_vectors_of_words_only() -> None:
    lesson = Trainer.start(lesson_config(), LESSON, threads=1).language_model
    assert len(nearest_tokens(lesson, "india", 100)) == 9
