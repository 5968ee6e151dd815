"""What several tests of the core need."""

import pytest

from lstmcore import shapes


@pytest.fixture
def small_tails(monkeypatch: pytest.MonkeyPatch) -> None:
    """Adaptive softmax has its two tails with a vocabulary of ten tokens already."""
    monkeypatch.setattr(shapes, "TAILS_BEGIN", (5, 9))
