"""Adaptive softmax: exact probabilities of a network with fewer numbers for rare tokens."""

from pathlib import Path

import pytest
import torch
from torch import Tensor
from torch.nn import functional

from lstmcore.config import ModelConfig, Sampling, resolve_config
from lstmcore.corpus import summarize
from lstmcore.errors import ConfigError
from lstmcore.export import load_model
from lstmcore.model import LSTMLanguageModel
from lstmcore.preparation import learn_tokenizer
from lstmcore.sampling import generate
from lstmcore.scoring import evaluate, score
from lstmcore.shapes import SPECIAL_TOKENS, expected_shapes
from lstmcore.softmax import AdaptiveSoftmax
from lstmcore.training import Trainer
from tests.lstmcore.trainings import TEXT, config, run_through

pytestmark = pytest.mark.usefixtures("small_tails")
N, H = 40, 8


@pytest.fixture(params=[4, 6, 14], ids="vocabulary of {}".format)
def layer(request: pytest.FixtureRequest) -> AdaptiveSoftmax:
    torch.manual_seed(1)
    return AdaptiveSoftmax(H, request.param).double()


def examples(layer: AdaptiveSoftmax) -> tuple[Tensor, Tensor]:
    generator = torch.Generator().manual_seed(2)
    features = torch.randn(N, H, dtype=torch.float64, generator=generator, requires_grad=True)
    return features, torch.randint(layer.vocabulary, (N,), generator=generator)


def by_hand(layer: AdaptiveSoftmax, features: Tensor) -> Tensor:
    """Probabilities by rank: of the head, and of each tail times those within it."""
    head = layer.head(features).softmax(-1)
    parts = [head[:, : layer.frequent]]
    for number, tail in enumerate(layer.tails):
        within = (tail.down(features) @ tail.up.weight.T + tail.up.bias).softmax(-1)
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


def test_names_and_shapes_are_known_beforehand() -> None:
    for vocabulary in (3, 5, 6, 9, 10, 200):
        shape = ModelConfig(embed_dim=4, hidden_dim=H, softmax="adaptive")
        made = LSTMLanguageModel(vocabulary, shape).tensors()
        expected = expected_shapes(vocabulary, shape)
        assert {name: tuple(tensor.shape) for name, tensor in made.items()} == expected


@pytest.mark.parametrize("preset", ["char", "word"])
def test_frequent_tokens_come_first(preset: str) -> None:
    tokenizer = learn_tokenizer(config(TEXT, preset, softmax="adaptive"), TEXT)
    (ids,) = tokenizer.encode_batch(TEXT.documents)
    counts = torch.tensor(ids).bincount(minlength=tokenizer.unk_id)[: tokenizer.unk_id]
    assert counts.equal(counts.sort(descending=True).values)


def test_a_trained_model_can_be_kept_and_used(tmp_path: Path) -> None:
    trainer = Trainer.start(config(TEXT, softmax="adaptive", epochs=30), TEXT, threads=1)
    before = evaluate(trainer.language_model, TEXT).loss
    run_through(trainer)
    trainer.write_best(tmp_path)
    lm = load_model(tmp_path)
    assert evaluate(lm, TEXT).loss < before - 1
    scored = score(lm, "The sun rose")["logprob"]
    assert scored == pytest.approx(score(trainer.language_model, "The sun rose")["logprob"])
    written = generate(lm, "The sun", Sampling(temperature=0, max_tokens=5, logprobs=True))
    assert written["completions"][0]["tokens"] == 5
    assert sum(each["probability"] for each in written["next_tokens"]) <= 1 + 1e-6


def test_going_on_from_a_model_keeps_its_vocabulary(tmp_path: Path) -> None:
    parent = Trainer.start(config(TEXT, softmax="adaptive"), TEXT, threads=1)
    run_through(parent)
    parent.write_best(tmp_path)
    lm = load_model(tmp_path)
    child = Trainer.start(config(TEXT, softmax="adaptive"), TEXT, init_from=lm)
    assert child.tokenizer.to_json() == lm.tokenizer.to_json()
    found = child.language_model.model.tensors()
    assert all(torch.equal(found[name], each) for name, each in lm.model.tensors().items())
    with pytest.raises(ConfigError, match="softmax"):
        Trainer.start(config(TEXT), TEXT, init_from=lm)


def test_it_cannot_be_tied_and_is_not_unless_asked() -> None:
    assert not config(TEXT, "word", softmax="adaptive").model.tie_weights
    with pytest.raises(ConfigError) as refused:
        resolve_config(
            {"preset": "word", "model": {"softmax": "adaptive", "tie_weights": True}},
            summarize(TEXT),
        )
    assert refused.value.errors[0]["loc"] == ["model", "tie_weights"]
