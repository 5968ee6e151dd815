"""Settings: defaults that suit the data, and refusals that say where and why."""

import json
import math
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from lstmcore import budget
from lstmcore.config import (
    FIELD_HELP,
    Sampling,
    TrainConfig,
    parse_config,
    parse_sampling,
    resolve_config,
    suggest_preset,
)
from lstmcore.corpus import Corpus, CorpusSummary, Layout, summarize
from lstmcore.errors import ConfigError
from lstmcore.estimate import estimate

PRESETS = ("tutorial", "char", "word", "subword")


def summary(
    layout: Layout = "text", documents: int = 1, characters: int = 1_100_000, *, spaced: bool = True
) -> CorpusSummary:
    words = characters // 5
    return CorpusSummary(layout, documents, characters, words, words // 8, 65, 80, spaced)


MEGABYTE = summary()
FACTS = summary("pairs", 300, 12_000)


def refusals(requested: Any, about: CorpusSummary = MEGABYTE) -> dict[tuple[str | int, ...], str]:
    with pytest.raises(ConfigError) as caught:
        resolve_config(requested, about)
    assert str(caught.value)
    return {tuple(error["loc"]): error["msg"] for error in caught.value.errors}


def test_tutorial_is_the_recipe_of_the_lesson() -> None:
    config = resolve_config({"preset": "tutorial"}, MEGABYTE).model_dump()
    assert config["tokenizer"] == {
        "level": "word",
        "lowercase": True,
        "strip_punctuation": True,
        "vocab_size": 200_000,
        "min_count": 1,
    }
    assert (config["model"]["embed_dim"], config["model"]["hidden_dim"]) == (10, 20)
    assert (config["model"]["layers"], config["model"]["dropout"]) == (1, 0.0)
    assert config["model"]["tie_weights"] is False
    training = config["training"]
    assert (training["optimizer"], training["learning_rate"]) == ("adam", 0.01)
    assert (training["schedule"], training["warmup"], training["clip_norm"]) == ("constant", 0, 0.0)
    assert (training["epochs"], training["batch_size"]) == (100, 1)
    assert (training["validation_fraction"], training["patience"]) == (0.0, None)


def test_tutorial_allows_what_the_lesson_varies_and_refuses_the_rest() -> None:
    asked = {
        "preset": "tutorial",
        "model": {"hidden_dim": 30},
        "training": {"epochs": 5, "seed": 3},
    }
    config = resolve_config(asked, MEGABYTE)
    assert (config.model.hidden_dim, config.training.epochs, config.training.seed) == (30, 5, 3)
    asked = {"preset": "tutorial", "model": {"layers": 2}, "training": {"batch_size": 4}}
    assert set(refusals(asked)) == {("model", "layers"), ("training", "batch_size")}


@given(
    preset=st.sampled_from(PRESETS),
    layout=st.sampled_from(["text", "lines", "pairs"]),
    documents=st.integers(1, 10**6),
    characters=st.integers(1, 10**9),
    spaced=st.booleans(),
)
def test_defaults_are_valid_for_any_data(
    preset: str, layout: Layout, documents: int, characters: int, spaced: bool
) -> None:
    about = summary(layout, documents, characters, spaced=spaced)
    config = resolve_config({"preset": preset}, about)
    assert config.preset == preset
    assert parse_config(json.loads(config.model_dump_json())) == config
    # resolving a complete configuration changes nothing
    assert resolve_config(config.model_dump(mode="json"), about) == config
    assert suggest_preset(about)[0] in PRESETS
    assert suggest_preset(about)[1].endswith(".")


def test_auto_and_absent_are_the_same() -> None:
    asked = {
        "preset": "auto",
        "tokenizer": "auto",
        "model": {"hidden_dim": "auto"},
        "training": {"epochs": "auto", "patience": "auto"},
    }
    assert resolve_config(asked, MEGABYTE) == resolve_config({}, MEGABYTE)


def test_a_level_alone_chooses_its_preset() -> None:
    assert resolve_config({"tokenizer": {"level": "subword"}}, FACTS).preset == "subword"
    assert ("tokenizer", "level") in refusals({"preset": "char", "tokenizer": {"level": "word"}})


def test_explicit_epochs_switch_early_stopping_off_unless_patience_is_given() -> None:
    def patience(**training: Any) -> int | None:
        return resolve_config({"training": training}, MEGABYTE).training.patience

    assert patience() is not None
    assert patience(epochs=3) is None
    assert patience(epochs=3, patience=7) == 7
    assert patience(patience=None) is None


def test_patience_needs_held_out_text() -> None:
    config = resolve_config({"training": {"patience": 3}}, FACTS)
    assert config.training.validation_fraction > 0
    asked = {"training": {"patience": 3, "validation_fraction": 0}}
    assert set(refusals(asked)) == {("training", "patience")}


def test_few_pairs_hold_nothing_out_and_a_megabyte_does() -> None:
    assert resolve_config({}, FACTS).training.validation_fraction == 0
    assert 0.02 < resolve_config({}, MEGABYTE).training.validation_fraction <= 0.1
    assert resolve_config({}, MEGABYTE).training.patience is not None
    huge = resolve_config({"preset": "char"}, summary(characters=10**9)).training
    assert 50_000 < huge.validation_fraction * 10**9 < 100_000


SECONDS = [10.0, 60.0, 240.0, 900.0, 3600.0, 36_000.0]


@pytest.mark.parametrize("preset", ["char", "word", "subword"])
@pytest.mark.parametrize("characters", [200_000, 1_100_000, 10**7, 10**8, 10**9])
def test_more_time_never_makes_a_smaller_training(preset: str, characters: int) -> None:
    about = summary(characters=characters)
    found = [
        resolve_config({"preset": preset, "training": {"max_seconds": seconds}}, about)
        for seconds in SECONDS
    ]
    sizes = [config.model.hidden_dim for config in found]
    assert sizes == sorted(sizes)
    work = [c.model.hidden_dim**2 * c.training.epochs for c in found]
    assert work == sorted(work)
    assert all(config.training.max_seconds == s for config, s in zip(found, SECONDS, strict=True))


@pytest.mark.parametrize("characters", [200_000, 1_100_000, 10**7, 10**8])
@pytest.mark.parametrize("seconds", SECONDS[1:])
def test_a_plan_fills_its_time_and_no_network_is_too_large_for_it(
    characters: int, seconds: float
) -> None:
    about = summary(characters=characters)
    config = resolve_config({"preset": "char", "training": {"max_seconds": seconds}}, about)
    model, epochs = config.model, config.training.epochs
    free = config.model_copy(
        update={"training": config.training.model_copy(update={"max_seconds": None})}
    )
    cost = estimate(free, 65, characters, flops_per_second=budget.FLOPS_PER_SECOND)
    recurrent = 4 * model.hidden_dim * (model.hidden_dim + model.embed_dim)
    assert recurrent <= budget.WEIGHTS_A_TOKEN * characters or model.hidden_dim == 128
    if model.hidden_dim > 128:  # the chosen network learns from enough text within the time
        tokens = characters * epochs * min(1, seconds / cost.seconds)
        assert tokens > min(10 * recurrent, 0.8 * budget.MOST_EPOCHS * characters)
    # there are epochs enough for the time, but where more would teach nothing
    assert cost.seconds > seconds or epochs == budget.MOST_EPOCHS


@pytest.mark.parametrize(
    "seconds", [math.nan, math.inf, -1, 10**400, "long", True, None, [], 1e300]
)
def test_an_impossible_time_is_refused_or_taken_as_it_is(seconds: Any) -> None:
    asked = {"preset": "char", "training": {"max_seconds": seconds}}
    if seconds is None:
        assert resolve_config(asked, MEGABYTE).training.max_seconds is None
    else:
        assert set(refusals(asked)) == {("training", "max_seconds")}


def test_the_rate_suits_the_optimizer() -> None:
    megabyte = summary()

    def rate(**training: Any) -> float:
        return resolve_config(
            {"preset": "word", "training": training}, megabyte
        ).training.learning_rate

    assert rate() == rate(optimizer="muon") > rate(optimizer="adamw") == rate(optimizer="adam")
    assert rate(optimizer="sgd") == 1
    assert rate(optimizer="adamw", learning_rate=0.02) == 0.02


def test_many_words_get_the_softmax_that_is_fast_for_them() -> None:
    few, many = summary(characters=500_000), summary(characters=5_000_000)
    assert resolve_config({"preset": "word"}, few).model.softmax == "full"
    chosen = resolve_config({"preset": "word"}, many).model
    assert (chosen.softmax, chosen.tie_weights) == ("adaptive", True)
    apart = resolve_config({"preset": "word", "model": {"tie_weights": False}}, many).model
    assert (apart.softmax, apart.tie_weights) == ("adaptive", False)
    small = {"preset": "word", "tokenizer": {"vocab_size": 5_000}}
    assert resolve_config(small, many).model.softmax == "full"


@pytest.mark.parametrize(
    ("requested", "loc"),
    [
        ({"preset": "huge"}, ("preset",)),
        ({"preset": None}, ("preset",)),
        ({"preset": ["char"]}, ("preset",)),
        ({"presett": "char"}, ("presett",)),
        ({"model": None}, ("model",)),
        ({"model": []}, ("model",)),
        ({"model": {"hiden_dim": 3}}, ("model", "hiden_dim")),
        ({"model": {"layers": True}}, ("model", "layers")),
        ({"model": {"layers": "2"}}, ("model", "layers")),
        ({"model": {"layers": 0}}, ("model", "layers")),
        ({"model": {"hidden_dim": 10**30}}, ("model", "hidden_dim")),
        ({"model": {"dropout": math.nan}}, ("model", "dropout")),
        ({"model": {"dropout": 1}}, ("model", "dropout")),
        ({"model": {"tie_weights": 1}}, ("model", "tie_weights")),
        ({"model": {"softmax": "sampled"}}, ("model", "softmax")),
        ({"training": {"learning_rate": math.inf}}, ("training", "learning_rate")),
        ({"training": {"learning_rate": 10**400}}, ("training", "learning_rate")),
        ({"training": {"epochs": 2.5}}, ("training", "epochs")),
        ({"training": {"epochs": False}}, ("training", "epochs")),
        ({"training": {"seed": -1}}, ("training", "seed")),
        ({"training": {"max_seconds": 0}}, ("training", "max_seconds")),
        ({"training": {"patience": 0}}, ("training", "patience")),
        ({"tokenizer": {"level": "{line}"}}, ("tokenizer", "level")),
        ({"tokenizer": {"level": "subword", "vocab_size": 9}}, ("tokenizer", "vocab_size")),
        ({"tokenizer": {"min_count": 0}}, ("tokenizer", "min_count")),
        ({"init_from": ""}, ("init_from",)),
    ],
)
def test_a_wrong_value_is_refused_at_its_place(
    requested: dict[str, Any], loc: tuple[str, ...]
) -> None:
    assert set(refusals(requested)) == {loc}


def test_all_wrong_values_are_named_at_once() -> None:
    asked = {"model": {"layers": 0, "nope": 1}, "training": {"seed": "x"}}
    assert set(refusals(asked)) == {("model", "layers"), ("model", "nope"), ("training", "seed")}


VALUES = st.sampled_from(
    [
        None,
        True,
        0,
        1,
        -1,
        2.5,
        math.nan,
        math.inf,
        10**400,
        "",
        "auto",
        "char",
        [],
        [1],
        {},
        {"a": 1},
    ]
)
NAMES = st.sampled_from([*(name.rpartition(".")[2] for name in FIELD_HELP), "nope", ""])


def outcome(requested: dict[str, Any]) -> TrainConfig | ConfigError:
    try:
        return resolve_config(requested, MEGABYTE)
    except ConfigError as error:
        return error


@given(requested=st.dictionaries(NAMES, st.dictionaries(NAMES, VALUES, max_size=4) | VALUES))
def test_any_json_is_resolved_or_refused_with_reasons(requested: dict[str, Any]) -> None:
    result = outcome(requested)
    if isinstance(result, ConfigError):
        assert result.errors
        assert all(problem["msg"] for problem in result.errors)


@pytest.mark.parametrize("requested", [None, [], "char", 3])
def test_what_is_no_object_is_refused(requested: Any) -> None:
    assert set(refusals(requested)) == {()}


def test_sampling_defaults_and_bounds() -> None:
    assert parse_sampling({}) == Sampling()
    assert parse_sampling({"temperature": 0, "top_k": "auto"}) == Sampling(temperature=0.0)
    for wrong in (
        {"n": 17},
        {"max_tokens": 4097},
        {"temperature": 5.1},
        {"temperature": math.nan},
        {"stop": ["a"] * 5},
        {"stop": ["x" * 65]},
        {"stop": [""]},
        {"top_p": 0},
        {"seed": True},
        {"logprobs": 1},
        {"min_p": 1.1},
        {"beams": 65},
        {"beams": 2, "n": 3},
    ):
        with pytest.raises(ConfigError):
            parse_sampling(wrong)


def test_every_setting_is_explained() -> None:
    assert all(text.endswith(".") or text.endswith("?") for text in FIELD_HELP.values())
    assert {"preset", "model.layers", "training.patience", "sampling.top_k"} <= set(FIELD_HELP)


def test_settings_cannot_be_changed() -> None:
    config = resolve_config({}, MEGABYTE)
    with pytest.raises(ValueError, match="frozen"):
        config.training.epochs = 3  # type: ignore[misc]


def test_suggestions_follow_the_data() -> None:
    def suggested(layout: Layout, *documents: str) -> str:
        completions = documents if layout == "pairs" else ()
        return suggest_preset(summarize(Corpus(layout, documents, completions)))[0]

    assert suggested("lines", "emma", "olivia", "ava") == "char"
    assert suggested("text", "今天天气很好我们去公园散步" * 20) == "char"
    assert suggested("pairs", "what is the capital of france", "what is your name") == "word"
    assert suggested("lines", "the cat sat on the mat", "the dog sat on the rug") == "word"
