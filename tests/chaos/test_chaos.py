"""Rounds of faults, short enough for tests; `make chaos` runs longer ones."""

import pytest

from tests.chaos.run import round_of_faults

COMMONEST = ["kill -9 training child", "FLUSHALL"]


def test_the_commonest_faults_lose_nothing() -> None:
    problems, text = round_of_faults(seed=1, count=2, seconds=60.0, order=COMMONEST, epochs=60)
    assert problems == [], text


@pytest.mark.slow
@pytest.mark.timeout(600)
def test_a_short_round_of_faults_loses_nothing() -> None:
    problems, text = round_of_faults(seed=5, count=6, seconds=120.0)
    assert problems == [], text
