"""Every filter leaves a distribution, and keeps what it promises."""

import math

import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from torch import Tensor

from lstmcore.config import Sampling
from lstmcore.filters import distribution, draw, keep_min_p, keep_top_k, keep_top_p, penalise

LOGITS = st.floats(-60, 60, width=32)
SCORES = (
    st.integers(1, 30)
    .flatmap(
        lambda width: st.lists(
            st.lists(LOGITS | st.sampled_from([0.0, 1.0]), min_size=width, max_size=width),
            min_size=1,
            max_size=3,
        )
    )
    .map(torch.tensor)
)  # (n, V), with equals among them
PENALTIES = st.floats(0.0, 10, exclude_min=True)
SHARES = st.floats(1e-6, 1)


def kept(scores: Tensor) -> Tensor:
    return scores > -math.inf


@given(
    SCORES,
    st.floats(0, 5, exclude_min=True),
    st.integers(0, 40),
    st.floats(0, 1, exclude_min=True),
    st.floats(0, 1),
)
@settings(deadline=None)
def test_what_is_drawn_from_is_a_distribution(
    scores: Tensor, temperature: float, top_k: int, top_p: float, min_p: float
) -> None:
    asked = Sampling(temperature=temperature, top_k=top_k, top_p=top_p, min_p=min_p)
    shares = distribution(scores, asked)
    assert torch.isfinite(shares).all()
    assert (shares >= 0).all()
    torch.testing.assert_close(shares.sum(-1), torch.ones(len(scores)))
    # of two tokens (rounding aside) the likelier is drawn as often, at least
    likelier = scores[:, :, None] > scores[:, None, :] + 1e-3
    assert (~likelier | (shares[:, :, None] >= shares[:, None, :])).all()


@given(SCORES, st.integers(1, 30))
@settings(deadline=None)
def test_top_k_keeps_exactly_the_k_likeliest(scores: Tensor, k: int) -> None:
    k = min(k, scores.shape[1])
    left = keep_top_k(scores, k)
    assert (kept(left).sum(-1) == k).all()
    assert torch.equal(left[kept(left)], scores[kept(left)])
    for row, mask in zip(scores, kept(left), strict=True):
        if not mask.all():
            assert row[mask].min() >= row[~mask].max()


@given(SCORES, SHARES)
@settings(deadline=None)
def test_top_p_keeps_the_fewest_that_reach_the_share(scores: Tensor, p: float) -> None:
    left = keep_top_p(scores, p)
    for row, mask in zip(scores.double().softmax(-1), kept(left), strict=True):
        assert mask.any()
        assert row[mask].sum() >= p - 1e-5
        assert row[mask].sum() - row[mask].min() <= p + 1e-5
        if not mask.all():
            assert row[mask].min() >= row[~mask].max()


@given(SCORES, SHARES)
@settings(deadline=None)
def test_min_p_keeps_those_near_the_likeliest(scores: Tensor, p: float) -> None:
    mask = kept(keep_min_p(scores, p))
    shares = scores.double().softmax(-1)
    ratios = shares / shares.max(-1, keepdim=True).values
    assert mask[ratios > p * (1 + 1e-4)].all()
    assert not mask[ratios < p * (1 - 1e-4)].any()
    assert mask.gather(-1, scores.argmax(-1, keepdim=True)).all()


@given(SCORES, PENALTIES)
@settings(deadline=None)
def test_a_penalty_changes_only_what_was_seen(scores: Tensor, penalty: float) -> None:
    seen = torch.rand(scores.shape, generator=torch.Generator().manual_seed(7)) < 0.5
    weaker = penalise(scores, seen, penalty)
    assert torch.isfinite(weaker).all()
    assert torch.equal(weaker[~seen], scores[~seen])
    if penalty >= 1:
        assert (weaker <= scores).all()
    else:
        assert (weaker >= scores).all()
    shares = distribution(weaker, Sampling())
    torch.testing.assert_close(shares.sum(-1), torch.ones(len(scores)))


@given(SCORES, st.integers(1, 5), st.integers(0, 2**32))
@settings(deadline=None)
def test_only_what_is_left_is_drawn(scores: Tensor, k: int, seed: int) -> None:
    shares = distribution(scores, Sampling(top_k=k))
    points = torch.rand(len(scores), generator=torch.Generator().manual_seed(seed)).double()
    drawn = draw(shares, points)
    assert drawn.shape == (len(scores),)
    assert (shares.gather(1, drawn[:, None]) > 0).all()


def test_tokens_are_drawn_as_often_as_they_are_likely() -> None:
    shares = torch.tensor([0.5, 0.0, 0.3, 0.0, 0.2, 0.0])
    points = torch.rand(100_000, generator=torch.Generator().manual_seed(3)).double()
    drawn = draw(shares.expand(len(points), -1), points)
    found = drawn.bincount(minlength=6) / len(drawn)
    torch.testing.assert_close(found, shares, atol=0.005, rtol=0)
    assert (found > 0).equal(shares > 0)
