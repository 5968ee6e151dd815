"""Adaptive softmax: exact probabilities of a network with fewer numbers for rare tokens."""

from pathlib import Path

import pytest
import torch
from torch import Tensor, nn
from torch.nn import functional

from lstmcore.config import ModelConfig, Sampling
from lstmcore.errors import ConfigError
from lstmcore.export import load_model
from lstmcore.model import LSTMLanguageModel
from lstmcore.preparation import learn_tokenizer
from lstmcore.sampling import generate
from lstmcore.scoring import evaluate, score
from lstmcore.shapes import SPECIAL_TOKENS, expected_shapes
from lstmcore.softmax import AdaptiveSoftmax, NarrowingSoftmax, TiedAdaptiveSoftmax
from lstmcore.training import Trainer
from tests.lstmcore.trainings import TEXT, config, run_through

pytestmark = pytest.mark.usefixtures("small_tails")
N, H = 40, 8


@pytest.fixture(params=[4, 6, 14], ids="vocabulary of {}".format)
def vocabulary(request: pytest.FixtureRequest) -> int:
    size: int = request.param
    return size


@pytest.fixture(params=[False, True], ids=["apart", "tied"])
def layer(request: pytest.FixtureRequest, vocabulary: int) -> AdaptiveSoftmax:
    torch.manual_seed(1)
    if request.param:
        tied = TiedAdaptiveSoftmax(nn.Embedding(vocabulary, H))
        nn.init.normal_(tied.bias)
        return tied.double()
    return NarrowingSoftmax(H, vocabulary).double()


def examples(layer: AdaptiveSoftmax) -> tuple[Tensor, Tensor]:
    generator = torch.Generator().manual_seed(2)
    features = torch.randn(N, H, dtype=torch.float64, generator=generator, requires_grad=True)
    return features, torch.randint(layer.vocabulary, (N,), generator=generator)


def by_hand(layer: AdaptiveSoftmax, features: Tensor) -> Tensor:
    """Probabilities by rank: of the head, and of each tail times those within it."""
    weight, bias, tails = layer.groups()
    head = (features @ weight.T + bias).softmax(-1)
    parts = [head[:, : layer.frequent]]
    for number, tail in enumerate(tails):
        within = (features @ tail.view.T @ tail.weight.T + tail.bias).softmax(-1)
        parts.append(head[:, layer.frequent + number, None] * within)
    return torch.cat(parts, 1)


def test_probabilities_are_those_of_the_groups(layer: AdaptiveSoftmax) -> None:
    features, _ = examples(layer)
    found = layer(features).exp()
    torch.testing.assert_close(found.sum(-1), torch.ones(N, dtype=torch.float64))
    ids = torch.arange(layer.vocabulary)
    ranks = (ids + SPECIAL_TOKENS) % layer.vocabulary
    torch.testing.assert_close(found, by_hand(layer, features)[:, ranks])


def test_loss_and_gradients_are_those_of_the_probabilities(layer: AdaptiveSoftmax) -> None:
    features, targets = examples(layer)
    found = layer.loss(features, targets, N)
    expected = functional.nll_loss(layer(features), targets)
    torch.testing.assert_close(found, expected)
    parts = [features, *layer.parameters()]
    torch.testing.assert_close(
        torch.autograd.grad(found, parts), torch.autograd.grad(expected, parts)
    )


def test_tails_without_a_token_have_gradients_too(layer: AdaptiveSoftmax) -> None:
    features, _ = examples(layer)
    layer.loss(features, torch.zeros(N, dtype=torch.int64), N).backward()
    assert all(parameter.grad is not None for parameter in layer.parameters())


def test_a_tied_one_weighs_tokens_by_the_embedding(vocabulary: int) -> None:
    layer = TiedAdaptiveSoftmax(nn.Embedding(vocabulary, H))
    weight, _, tails = layer.groups()
    by_rank = layer.embedding.weight.roll(SPECIAL_TOKENS, 0)
    assert len(weight) == layer.frequent + len(tails)
    rare = [tail.weight for tail in tails]
    assert torch.equal(torch.cat([weight[: layer.frequent], *rare]), by_rank)


@pytest.mark.parametrize("tied", [False, True])
def test_names_and_shapes_are_known_beforehand(tied: bool) -> None:
    for vocabulary in (3, 5, 6, 9, 10, 200):
        shape = ModelConfig(embed_dim=4, hidden_dim=H, softmax="adaptive", tie_weights=tied)
        made = LSTMLanguageModel(vocabulary, shape).tensors()
        expected = expected_shapes(vocabulary, shape)
        assert {name: tuple(tensor.shape) for name, tensor in made.items()} == expected


@pytest.mark.parametrize("preset", ["char", "word"])
def test_frequent_tokens_come_first(preset: str) -> None:
    tokenizer = learn_tokenizer(config(TEXT, preset, softmax="adaptive"), TEXT)
    (ids,) = tokenizer.encode_batch(TEXT.documents)
    counts = torch.tensor(ids).bincount(minlength=tokenizer.unk_id)[: tokenizer.unk_id]
    assert counts.equal(counts.sort(descending=True).values)


@pytest.mark.parametrize("tied", [False, True])
def test_a_trained_model_can_be_kept_and_used(tied: bool, tmp_path: Path) -> None:
    asked = {"epochs": 30, "validation_fraction": 0.0, "tie_weights": tied}
    wanted = config(TEXT, softmax="adaptive", **asked)
    trainer = Trainer.start(wanted, TEXT, threads=1)
    before = evaluate(trainer.language_model, TEXT).loss
    run_through(trainer)
    trainer.write_best(tmp_path)
    lm = load_model(tmp_path)
    assert evaluate(lm, TEXT).loss < before - 0.5
    scored = score(lm, "The sun rose")["logprob"]
    assert scored == pytest.approx(score(trainer.language_model, "The sun rose")["logprob"])
    written = generate(lm, "The sun", Sampling(temperature=0, max_tokens=5, logprobs=True))
    assert written["completions"][0]["tokens"] == 5
    assert sum(each["probability"] for each in written["next_tokens"]) <= 1 + 1e-6


@pytest.mark.parametrize("tied", [False, True])
def test_going_on_from_a_model_keeps_its_vocabulary(tied: bool, tmp_path: Path) -> None:
    wanted = config(TEXT, softmax="adaptive", tie_weights=tied)
    parent = Trainer.start(wanted, TEXT, threads=1)
    run_through(parent)
    parent.write_best(tmp_path)
    lm = load_model(tmp_path)
    child = Trainer.start(wanted, TEXT, init_from=lm)
    assert child.tokenizer.to_json() == lm.tokenizer.to_json()
    found = child.language_model.model.tensors()
    assert all(torch.equal(found[name], each) for name, each in lm.model.tensors().items())
    with pytest.raises(ConfigError, match="softmax"):
        Trainer.start(config(TEXT, tie_weights=tied), TEXT, init_from=lm)
