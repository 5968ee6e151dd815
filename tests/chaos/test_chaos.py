"""A short round of faults; `make chaos` runs longer ones."""

import pytest

from tests.chaos.run import round_of_faults


@pytest.mark.slow
@pytest.mark.timeout(600)
def test_a_short_round_of_faults_loses_nothing() -> None:
    problems, text = round_of_faults(seed=5, count=6, seconds=120.0)
    assert problems == [], text
