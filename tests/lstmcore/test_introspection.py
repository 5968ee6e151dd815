"""What is shown of the inside is what the network computes."""

import copy
import dataclasses

import pytest
import torch

from lstmcore import introspection
from lstmcore.corpus import Corpus
from lstmcore.errors import PromptError
from lstmcore.export import LanguageModel
from lstmcore.introspection import activations, explain, saliency
from lstmcore.prompts import read_prompt
from lstmcore.sampling import Sampling, generate
from lstmcore.training import Trainer
from tests.lstmcore.trainings import CORPORA, LESSON, LINES, config, lesson_config, run_through

SHAPES = {
    "one layer": {},
    "three layers": {"layers": 3, "dropout": 0.3},
    "tied": {"layers": 2, "tie_weights": True},
}


@pytest.fixture(scope="module", params=SHAPES)
def model(request: pytest.FixtureRequest) -> LanguageModel:
    trainer = Trainer.start(config(LINES, "word", **SHAPES[request.param]), LINES, threads=1)
    run_through(trainer)
    return trainer.language_model


@pytest.fixture(scope="module")
def lesson() -> LanguageModel:
    trainer = Trainer.start(lesson_config(), LESSON, threads=1)
    run_through(trainer)
    return trainer.language_model


@torch.no_grad()
def test_states_are_those_of_the_networks_own_lstm(model: LanguageModel) -> None:
    seen = activations(model, "ann sees the owl")
    assert seen.tokens == ["<eos>", " ann", " sees", " the", " owl"]
    below = model.model.embedding(torch.tensor(seen.ids))
    lstm = model.model.lstm
    for layer in range(lstm.num_layers):
        alone = torch.nn.LSTM(below.shape[1], lstm.hidden_size)
        for name in ("weight_ih", "weight_hh", "bias_ih", "bias_hh"):
            getattr(alone, f"{name}_l0").copy_(getattr(lstm, f"{name}_l{layer}"))
        for step in range(len(seen.ids)):
            below_here, (h, c) = alone(below[: step + 1])
            torch.testing.assert_close(seen.hidden[layer, step], h[0])
            torch.testing.assert_close(seen.cell[layer, step], c[0])
        below = below_here
    _, (h, c) = model.model(torch.tensor([seen.ids]))
    torch.testing.assert_close(seen.hidden[:, -1], h[:, 0])
    torch.testing.assert_close(seen.cell[:, -1], c[:, 0])


def test_gates_make_the_states(model: LanguageModel) -> None:
    seen = activations(model, "bob hears the sea")
    shape = (model.config.model.layers, len(seen.ids), model.config.model.hidden_dim)
    for gate in (seen.input_gate, seen.forget_gate, seen.output_gate):
        assert gate.shape == shape
        assert ((gate > 0) & (gate < 1)).all()
    before = torch.cat([torch.zeros_like(seen.cell[:, :1]), seen.cell[:, :-1]], dim=1)
    cell = seen.forget_gate * before + seen.input_gate * seen.candidate
    torch.testing.assert_close(seen.cell, cell)
    torch.testing.assert_close(seen.hidden, seen.output_gate * seen.cell.tanh())


def test_a_token_does_not_know_what_follows(model: LanguageModel) -> None:
    long, short = activations(model, "ann sees the owl"), activations(model, "ann sees")
    for field in dataclasses.fields(long)[2:]:
        torch.testing.assert_close(getattr(long, field.name)[:, :3], getattr(short, field.name))


def test_the_lessons_numbers(lesson: LanguageModel) -> None:
    told = explain(lesson, "what is capital of")
    assert told["tokens"] == ["what", "is", "capital", "of"]
    assert told["ids"] == [8, 3, 0, 6]
    assert told["embedding_shape"] == [4, 10]
    assert told["hidden_shape"] == [1, 20]
    assert told["logits_shape"] == [10]
    assert told["next_tokens"][0]["token"] == "india"
    assert sum(each["probability"] for each in told["next_tokens"]) == pytest.approx(1)
    assert told["other_probability"] == pytest.approx(0, abs=1e-6)
    assert (len(told["embedding"]), len(told["embedding"][0])) == (4, 10)


@torch.no_grad()
def test_an_explanation_ends_in_the_prediction(model: LanguageModel) -> None:
    told = explain(model, "ann sees the zebra", shown=5)
    assert told["unknown_tokens"] == ["zebra"]
    logits, (h, c) = model.model(torch.tensor([told["ids"]]))
    for each in told["next_tokens"]:
        assert each["logit"] == pytest.approx(logits[0, -1, each["id"]].item(), abs=1e-5)
        assert each["probability"] == pytest.approx(
            logits[0, -1].softmax(-1)[each["id"]].item(), abs=1e-6
        )
    shares = [each["probability"] for each in told["next_tokens"]]
    assert shares == sorted(shares, reverse=True)
    assert sum(shares) + told["other_probability"] == pytest.approx(1)
    assert told["hidden"] == pytest.approx(h[:, 0].numpy(), abs=1e-6)
    assert told["cell"] == pytest.approx(c[:, 0].numpy(), abs=1e-6)
    embedded = model.model.embedding(torch.tensor(told["ids"]))
    assert told["embedding"] == pytest.approx(embedded.numpy())


@pytest.mark.parametrize("token", [None, "owl", "<eos>"])
def test_saliency_is_the_slope_when_an_embedding_is_scaled(
    model: LanguageModel, token: str | None
) -> None:
    """Central differences in float64, for each token of the context alone."""
    exact = dataclasses.replace(model, model=copy.deepcopy(model.model).double().eval())
    found = saliency(exact, "ann sees the", token)
    ids = torch.tensor(read_prompt(model, "ann sees the").ids)
    names = [model.tokenizer.token(index) for index in range(model.tokenizer.modelled_size)]
    target = names.index(found["predicted"])
    if token is not None:
        assert found["predicted"].strip() == token
    network, step = exact.model, 1e-5

    def logprob(at: int, scale: float) -> float:
        embedded = network.embedding(ids)
        embedded[at] *= scale
        hidden = network.lstm(embedded[None])[0][0, -1]
        if network.projection is not None:
            hidden = network.projection(hidden)
        return network.output(hidden).log_softmax(-1)[target].item()

    with torch.no_grad():
        assert found["logprob"] == pytest.approx(logprob(0, 1))
        for at, each in enumerate(found["context"]):
            slope = (logprob(at, 1 + step) - logprob(at, 1 - step)) / (2 * step)
            assert each["saliency"] == pytest.approx(slope, abs=1e-7)
    assert [each["token"] for each in found["context"]] == ["<eos>", " ann", " sees", " the"]


def test_saliency_leaves_the_model_as_it_was(model: LanguageModel) -> None:
    before = {name: tensor.clone() for name, tensor in model.model.tensors().items()}
    model.model.zero_grad()
    with torch.inference_mode():
        saliency(model, "ann sees")
    saliency(model, "ann sees")
    assert all(p.grad is None for p in model.model.parameters())
    for name, tensor in model.model.tensors().items():
        assert torch.equal(tensor, before[name])


def test_the_likeliest_is_explained(lesson: LanguageModel) -> None:
    found = saliency(lesson, "what is capital of")
    assert found["predicted"] == "india"
    assert len(found["context"]) == 4
    assert generate(lesson, "what is capital of", Sampling())["next_tokens"][0]["token"] == "india"


@pytest.mark.parametrize("corpus", CORPORA.values(), ids=CORPORA)
def test_every_layout_can_be_looked_into(corpus: Corpus) -> None:
    for preset in ("char", "word", "subword"):
        lm = Trainer.start(config(corpus, preset), corpus, threads=1).language_model
        prompt = corpus.documents[0][:20]
        assert activations(lm, prompt).ids == explain(lm, prompt)["ids"]
        assert len(saliency(lm, "")["context"]) == 1


def test_what_cannot_be_looked_into_is_refused(
    model: LanguageModel, lesson: LanguageModel, monkeypatch: pytest.MonkeyPatch
) -> None:
    for look in (activations, explain, saliency):
        with pytest.raises(PromptError, match="nothing to look into"):
            look(lesson, "zebra")
    with pytest.raises(PromptError, match="not one token"):
        saliency(model, "ann", "zebra")
    with pytest.raises(PromptError, match="not one token"):
        saliency(model, "ann", "the owl")
    monkeypatch.setattr(introspection, "LONGEST_LOOK", 3)
    with pytest.raises(PromptError, match="at once"):
        activations(model, "ann sees the owl")
