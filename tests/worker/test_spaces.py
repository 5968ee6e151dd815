"""The settings of a sweep's trials: every combination, or draws that can be repeated."""

from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from worker.errors import InvalidInput
from worker.spaces import MOST_TRIALS, settings_of_trials, with_settings


def test_a_grid_is_every_combination_in_the_order_given() -> None:
    space = {"model.layers": [1, 2], "training.optimizer": ["adam", "sgd"]}
    assert settings_of_trials(space, "grid", None, 0) == [
        {"model.layers": 1, "training.optimizer": "adam"},
        {"model.layers": 1, "training.optimizer": "sgd"},
        {"model.layers": 2, "training.optimizer": "adam"},
        {"model.layers": 2, "training.optimizer": "sgd"},
    ]


@given(
    low=st.floats(1e-6, 1e3),
    width=st.floats(0, 1e3),
    scale=st.sampled_from(["linear", "log"]),
    seed=st.integers(0, 2**31 - 1),
)
def test_a_draw_lies_in_its_range_and_repeats(
    low: float, width: float, scale: str, seed: int
) -> None:
    space = {
        "training.learning_rate": {"min": low, "max": low + width, "scale": scale},
        "model.hidden_dim": {"min": 8, "max": 64, "scale": scale},
    }
    drawn = settings_of_trials(space, "random", 5, seed)
    assert drawn == settings_of_trials(space, "random", 5, seed)
    assert len(drawn) == 5
    for settings in drawn:
        rate, size = settings["training.learning_rate"], settings["model.hidden_dim"]
        assert isinstance(rate, float)
        # Four digits are kept: they may round over an end.
        assert low * 0.999 <= rate <= (low + width) * 1.001
        assert isinstance(size, int)
        assert 8 <= size <= 64


def test_a_small_space_gives_as_many_trials_as_it_has_settings() -> None:
    drawn = settings_of_trials({"model.layers": [1, 2, 3]}, "random", 10, 7)
    assert sorted(str(one["model.layers"]) for one in drawn) == ["1", "2", "3"]


@pytest.mark.parametrize(
    ("space", "method", "trials", "place"),
    [
        ({}, "grid", None, ["space"]),
        ({"a": []}, "grid", None, ["space", "a"]),
        ({"a": 3}, "grid", None, ["space", "a"]),
        ({"a": {"min": 2, "max": 1}}, "random", 3, ["space", "a"]),
        ({"a": {"min": 0, "max": 1, "scale": "log"}}, "random", 3, ["space", "a"]),
        ({"a": {"min": 0, "max": float("inf")}}, "random", 3, ["space", "a"]),
        ({"a": {"min": 0, "max": 1}}, "grid", None, ["space", "a"]),
        ({"a": [1, 2]}, "random", None, ["trials"]),
        ({"a": [1, 2]}, "random", MOST_TRIALS + 1, ["trials"]),
        ({"a": list(range(9)), "b": list(range(9))}, "grid", None, ["space"]),
        ({str(number): [1] for number in range(13)}, "grid", None, ["space"]),
    ],
)
def test_a_space_that_cannot_be_tried_is_refused_with_its_place(
    space: dict[str, Any], method: Any, trials: int | None, place: list[str]
) -> None:
    with pytest.raises(InvalidInput) as caught:
        settings_of_trials(space, method, trials, 0)
    assert caught.value.errors[0]["loc"] == place


def test_settings_replace_only_what_they_name() -> None:
    config = {"preset": "char", "model": {"layers": 1, "dropout": 0.1}, "training": "auto"}
    changed = with_settings(config, {"model.layers": 2, "training.epochs": 3})
    assert changed == {
        "preset": "char",
        "model": {"layers": 2, "dropout": 0.1},
        "training": {"epochs": 3},
    }
    assert config["model"] == {"layers": 1, "dropout": 0.1}
