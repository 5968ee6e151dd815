"""What pages show of a model is what it computes: step by step, neuron by neuron, on a map."""

import math

import pytest
import torch

from lstmcore.embeddings import nearest_tokens, word_map
from lstmcore.errors import PromptError
from lstmcore.export import LanguageModel
from lstmcore.filters import distribution, penalise
from lstmcore.introspection import activations
from lstmcore.neurons import SUGGESTED, look_at_neurons
from lstmcore.outlook import Outlook, outlook
from lstmcore.prompts import never_written, read, read_prompt
from lstmcore.sampling import Sampling
from lstmcore.training import Trainer
from lstmcore.walkthrough import SHOWN_CELLS, SHOWN_STEPS, walk_through
from tests.lstmcore.trainings import LESSON, LINES, config, lesson_config, run_through

WORDS = "capital delhi india is jay name of ok what your"


@pytest.fixture(scope="module")
def lesson() -> LanguageModel:
    trainer = Trainer.start(lesson_config(), LESSON, threads=1)
    run_through(trainer)
    return trainer.language_model


@pytest.fixture(scope="module")
def model() -> LanguageModel:
    shape = {"layers": 2, "hidden_dim": 80, "tie_weights": True}
    trainer = Trainer.start(config(LINES, "word", **shape), LINES, threads=1)
    run_through(trainer)
    return trainer.language_model


@pytest.fixture(scope="module")
def letters() -> LanguageModel:
    trainer = Trainer.start(config(LINES, "char"), LINES, threads=1)
    run_through(trainer)
    return trainer.language_model


def test_the_lessons_numbers_step_by_step(lesson: LanguageModel) -> None:
    told = walk_through(lesson, "what is capital of")
    assert (told["ids"], told["embedding_shape"]) == ([8, 3, 0, 6], [4, 10])
    assert (told["layers"], told["hidden_size"], told["logits_shape"]) == (1, 20, [10])
    assert told["cells"] == list(range(20))
    assert told["next_tokens"][0]["token"] == "india"
    best = told["next_tokens"][0]
    assert math.exp(best["logit"] - told["log_sum"]) == pytest.approx(best["probability"], abs=1e-5)
    assert sum(each["probability"] for each in told["next_tokens"]) == pytest.approx(1, abs=1e-4)


def test_the_shown_numbers_follow_from_each_other(model: LanguageModel) -> None:
    text = "ann sees the owl " * 30
    for layer in (0, 1):
        told = walk_through(model, text, layer)
        gates, before = told["gates"], told["cell_before"]
        assert len(gates["cell"]) == len(told["steps"]) == SHOWN_STEPS
        assert len(told["cells"]) == len(before) == SHOWN_CELLS < told["hidden_size"]
        for step in range(SHOWN_STEPS):
            for at, c in enumerate(gates["cell"][step]):
                kept = gates["forget"][step][at] * before[at]
                new = gates["input"][step][at] * gates["candidate"][step][at]
                assert kept + new == pytest.approx(c, abs=1e-2)
                h = gates["output"][step][at] * math.tanh(c)
                assert gates["hidden"][step][at] == pytest.approx(h, abs=1e-2)
            before = gates["cell"][step]
    assert told["layer"] == 1
    # after each token it expects what it expects of the text so far
    short = walk_through(model, "ann sees")
    again = walk_through(model, "ann sees the owl")
    for mine, other in zip(again["steps"], short["steps"], strict=False):
        assert mine["next_tokens"][0]["token"] == other["next_tokens"][0]["token"]
    with pytest.raises(PromptError, match="layers 0 to 1"):
        walk_through(model, text, 2)


def test_neurons_are_those_of_the_network_and_explain_themselves(letters: LanguageModel) -> None:
    text = "ann sees the owl. bob hears the sea and ann hears the owl."
    found = look_at_neurons(letters, text, neuron=3)
    seen = activations(letters, text)
    assert found["tokens"] == seen.tokens
    assert [found["neurons"][0][key] for key in ("layer", "neuron")] == [0, 3]  # type: ignore[literal-required]
    places = [(each["layer"], each["neuron"]) for each in found["neurons"]]
    assert len(set(places)) == len(places) >= SUGGESTED
    for each in found["neurons"]:
        values = seen.hidden[each["layer"], :, each["neuron"]]
        assert each["values"] == pytest.approx(values.tolist(), abs=2e-3)
        assert each["reason"]
    # a suggestion's correlation is what its reason claims
    spaces = torch.tensor([float(not token.strip()) for token in seen.tokens])
    for each in found["neurons"]:
        if "spaces" in each["reason"]:
            measured = torch.corrcoef(torch.stack([spaces, torch.tensor(each["values"])]))[0, 1]
            assert measured.item() == pytest.approx(each["correlation"], abs=0.01)
    with pytest.raises(PromptError, match="no neuron"):
        look_at_neurons(letters, text, neuron=10**6)


def test_a_short_text_suggests_without_claiming(lesson: LanguageModel) -> None:
    found = look_at_neurons(lesson, "what is capital of")["neurons"]
    assert {each["correlation"] for each in found} == {None}


@pytest.mark.parametrize("listed", [3, 200])
@pytest.mark.parametrize(
    "settings",
    [{}, {"temperature": 0.4}, {"temperature": 1.7}, {"repetition_penalty": 1.5, "top_k": 4}],
)
def test_an_outlook_is_enough_for_any_setting(
    model: LanguageModel, listed: int, settings: dict[str, float]
) -> None:
    prompt = "ann sees the owl"
    sampling = Sampling.model_validate(settings)
    ids = read_prompt(model, prompt).ids
    logits = read(model, ids)[0].clone()
    seen = torch.zeros_like(logits, dtype=torch.bool)
    seen[0, ids] = True
    logits = penalise(logits, seen, sampling.repetition_penalty)
    logits[0, never_written(model)] = -math.inf
    shares = distribution(logits, sampling)[0]
    told = outlook(model, prompt, listed)
    listed_ids = [each["id"] for each in told["candidates"]]
    assert len(listed_ids) + sum(each["count"] for each in told["others"]) == len(shares) - 2
    assert {each["id"] for each in told["candidates"] if each["seen"]} == set(ids)
    if sampling.top_k:
        return  # chosen among more than is listed: the browser's tests do that
    for token, share in zip(listed_ids, from_outlook(told, sampling), strict=True):
        assert share == pytest.approx(shares[token].item(), rel=0.02, abs=1e-6)


def from_outlook(told: Outlook, sampling: Sampling) -> list[float]:
    """Shares of the candidates, by arithmetic on what was told alone."""
    weights = []
    for each in told["candidates"]:
        logit, penalty = each["logit"], sampling.repetition_penalty
        if each["seen"]:
            logit = logit / penalty if logit > 0 else logit * penalty
        weights.append(math.exp(logit / sampling.temperature))
    rest = (
        each["count"] * math.exp(each["logit"] / sampling.temperature) for each in told["others"]
    )
    total = sum(weights) + sum(rest)
    return [weight / total for weight in weights]


def test_a_map_keeps_what_a_plane_can_keep(lesson: LanguageModel, model: LanguageModel) -> None:
    told = word_map(lesson)
    assert {point["token"] for point in told["points"]} == set(
        lesson.tokenizer.encode(WORDS).tokens
    )
    vectors = lesson.model.embedding.weight[[point["id"] for point in told["points"]]].detach()
    places = torch.tensor([[point["x"], point["y"]] for point in told["points"]])
    centred = vectors - vectors.mean(0)
    share = places.square().sum() / centred.square().sum()
    assert share.item() == pytest.approx(sum(told["shares"]), abs=0.01)
    singular = torch.linalg.svdvals(centred)
    assert sum(told["shares"]) == pytest.approx(
        (singular[:2].square().sum() / singular.square().sum()).item(), abs=0.01
    )
    assert len(word_map(model, 5)["points"]) == 5
    assert not {"<unk>", "<eos>"} & {point["token"] for point in word_map(model)["points"]}


def test_a_word_may_be_asked_for_as_its_token_is_written(model: LanguageModel) -> None:
    assert nearest_tokens(model, " owl") == nearest_tokens(model, "owl")
