"""The network: shapes, the same weights from the same seed, and one way to read a text."""

from itertools import pairwise

import numpy as np
import pytest
import torch
from torch import nn

from lstmcore.batches import (
    HELD_OUT_PIECES,
    HELD_OUT_TOKENS,
    IGNORED,
    Pair,
    StreamBatches,
    padded,
    split_lines,
    split_pairs,
    split_text,
)
from lstmcore.config import ModelConfig, TrainingConfig
from lstmcore.dropout import kept
from lstmcore.encoding import Ids
from lstmcore.loss import batch_loss
from lstmcore.model import LSTMLanguageModel
from lstmcore.optimizers import make_optimizer
from lstmcore.ring import Ring
from lstmcore.shapes import expected_shapes
from tests.lstmcore.trainings import TEXT, config

SHAPES = [
    ModelConfig(embed_dim=5, hidden_dim=7),
    ModelConfig(embed_dim=5, hidden_dim=7, layers=3, dropout=0.5),
    ModelConfig(embed_dim=5, hidden_dim=7, layers=2, tie_weights=True),
    ModelConfig(embed_dim=6, hidden_dim=6, tie_weights=True),
    ModelConfig(
        embed_dim=5, hidden_dim=7, layers=2, dropout=0.5, embedding_dropout=0.5, locked_dropout=True
    ),
]
VOCABULARY = 11


@pytest.fixture(params=SHAPES, ids=["plain", "deep", "projected", "tied", "locked"])
def model(request: pytest.FixtureRequest) -> LSTMLanguageModel:
    torch.manual_seed(2)
    return LSTMLanguageModel(VOCABULARY, request.param).eval()


def test_reading_in_parts_is_reading_at_once(model: LSTMLanguageModel) -> None:
    ids = torch.randint(VOCABULARY, (3, 9), generator=torch.Generator().manual_seed(1))
    whole, end = model(ids)
    assert whole.shape == (3, 9, VOCABULARY)
    first, state = model(ids[:, :4])
    second, state = model(ids[:, 4:], state)
    torch.testing.assert_close(torch.cat([first, second], 1), whole)
    torch.testing.assert_close(state, end)
    state = model.start_state(3)
    for position in range(9):
        logits, state = model.step(ids[:, position], state)
        torch.testing.assert_close(logits, whole[:, position])
    torch.testing.assert_close(state, end)
    assert model.start_logits().shape == (1, VOCABULARY)


def test_it_starts_as_the_tutorials_network() -> None:
    torch.manual_seed(4)
    parts = [nn.Embedding(11, 5), nn.LSTM(5, 7, batch_first=True), nn.Linear(7, 11)]
    torch.manual_seed(4)
    model = LSTMLanguageModel(11, SHAPES[0])
    mine = list(model.tensors().values())
    theirs = [tensor for part in parts for tensor in part.state_dict().values()]
    assert all(torch.equal(a, b) for a, b in zip(mine, theirs, strict=True))


def test_names_and_shapes_are_known_beforehand(model: LSTMLanguageModel) -> None:
    for shape in SHAPES:
        made = LSTMLanguageModel(VOCABULARY, shape)
        shapes = expected_shapes(VOCABULARY, shape)
        assert {name: tuple(tensor.shape) for name, tensor in made.tensors().items()} == shapes
        assert list(shapes) == [name for name, _ in made.named_parameters()]


def test_weights_can_be_taken_over(model: LSTMLanguageModel) -> None:
    for shape in SHAPES:
        one, other = LSTMLanguageModel(VOCABULARY, shape), LSTMLanguageModel(VOCABULARY, shape)
        other.load_tensors(one.tensors())
        ids = torch.arange(8)[None]
        one.eval(), other.eval()
        assert torch.equal(one(ids)[0], other(ids)[0])
    with pytest.raises(ValueError, match="not the weights"):
        model.load_tensors({})


def test_dropout_off_uses_no_random_numbers() -> None:
    model = LSTMLanguageModel(VOCABULARY, SHAPES[0]).train()
    before = torch.get_rng_state()
    model(torch.zeros(1, 3, dtype=torch.int64))
    assert torch.equal(torch.get_rng_state(), before)


def test_locked_dropout_leaves_out_the_same_values_at_every_position() -> None:
    torch.manual_seed(1)
    loose = LSTMLanguageModel(VOCABULARY, SHAPES[1]).train()
    locked = LSTMLanguageModel(
        VOCABULARY, SHAPES[1].model_copy(update={"locked_dropout": True})
    ).train()
    values = torch.ones(40, 6, 20)  # (B, T, H)
    dropped = locked._drop(values)
    assert torch.equal(dropped, dropped[:, :1].expand_as(dropped))
    assert not torch.equal(loose._drop(values), loose._drop(values)[:, :1].expand_as(values))
    assert set(dropped.unique().tolist()) == {0.0, 2.0}  # what stays is scaled up
    assert not torch.equal(dropped[0], dropped[1])  # each sequence has a mask of its own
    assert dropped.mean().item() == pytest.approx(1, abs=0.1)


@pytest.mark.parametrize("share", [0.05, 0.2, 0.5, 0.95])
def test_dropout_leaves_out_the_share_it_is_told(share: float) -> None:
    torch.manual_seed(1)
    drawn = kept(torch.empty(401, 1_003), share)
    assert drawn.shape == (401, 1_003)
    assert (drawn == 0).float().mean().item() == pytest.approx(share, abs=0.003)
    torch.testing.assert_close(drawn.unique(), torch.tensor([0, 1 / (1 - share)]))
    across = torch.corrcoef((drawn == 0).float()[:, :5].T)  # neighbours share a random number
    assert (across - torch.eye(5)).abs().max() < 0.25


def test_embedding_dropout_leaves_out_whole_tokens_wherever_they_stand() -> None:
    torch.manual_seed(1)
    shape = ModelConfig(embed_dim=5, hidden_dim=7, embedding_dropout=0.5)
    model = LSTMLanguageModel(200, shape).train()
    ids = torch.arange(200).repeat(3, 1)
    embedded = model._embed(ids)  # (3, 200, 5)
    assert torch.equal(embedded[0], embedded[1])
    left_out = (embedded[0] == 0).all(-1)
    assert 60 < left_out.sum() < 140
    torch.testing.assert_close(embedded[0][~left_out], 2 * model.embedding.weight[~left_out])


def test_layer_by_layer_is_what_the_whole_lstm_does() -> None:
    torch.manual_seed(1)
    shape = ModelConfig(embed_dim=5, hidden_dim=7, layers=3, dropout=0.5, locked_dropout=True)
    model = LSTMLanguageModel(VOCABULARY, shape)
    values = torch.randn(2, 6, 5)
    state = (torch.randn(3, 2, 7), torch.randn(3, 2, 7))
    model.eval()
    torch.testing.assert_close(model._layer_by_layer(values, state), model.lstm(values, state))
    torch.testing.assert_close(model._layer_by_layer(values, None), model.lstm(values))


def test_padding_changes_nothing() -> None:
    model = LSTMLanguageModel(VOCABULARY, SHAPES[0]).eval()
    short = Pair.join([1, 2], [3], sep=10, eos=9)
    long = Pair.join([1, 2, 3, 4, 5], [6, 7, 8], sep=10, eos=9)
    assert short.ids.tolist() == [1, 2, 10, 3, 9]
    together = padded([short, long])
    assert together.inputs.shape == (2, 9)
    assert together.targets[0].tolist() == [IGNORED, IGNORED, 3, 9, *[IGNORED] * 5]
    assert together.tokens == 6
    losses = [batch_loss(model, padded([pair]), None)[0] * padded([pair]).tokens
              for pair in (short, long)]  # fmt: skip
    torch.testing.assert_close(batch_loss(model, together, None)[0] * 6, sum(losses))


def as_ids(documents: list[list[int]]) -> Ids:
    """Documents with their ends as the ids of a corpus."""
    lengths = np.array([len(document) for document in documents], np.int32)
    return Ids(np.array([token for document in documents for token in document]), lengths)


def streams(documents: list[list[int]], settings: TrainingConfig) -> StreamBatches:
    ids = as_ids(documents)
    ring = Ring(ids.values, ids.lengths.cumsum() - ids.lengths, ids.lengths)
    return StreamBatches(ring, Ring.of(ids.values[:0]), settings, shuffled=True)


@pytest.mark.parametrize("documents", [1, 5])
@pytest.mark.parametrize("epoch", [0, 1, 2])
def test_streams_read_every_token_once_and_predict_the_next(documents: int, epoch: int) -> None:
    settings = config(TEXT, batch_size=3, bptt=4).training
    lines = [list(range(10 * i, 10 * i + 6 + i)) for i in range(documents)]
    batches = streams(lines, settings)
    ring = [token for line in lines for token in line]
    follows = {a: b for line in lines for a, b in pairwise(line)}
    seen: list[int] = []
    for position in range(batches.steps_per_epoch):
        batch = batches.batch(epoch, position)
        again = streams(lines, settings).batch(epoch, position)
        assert torch.equal(batch.inputs, again.inputs)
        assert torch.equal(batch.targets, again.targets)
        for token, target in zip(batch.inputs.flatten(), batch.targets.flatten(), strict=True):
            seen.append(int(token))
            assert follows.get(int(token), int(target)) == int(target)
    assert len(seen) == len(set(seen)) == batches.tokens_per_epoch
    assert len(ring) - len(seen) < batches.streams


def test_streams_go_on_where_they_ended() -> None:
    settings = config(TEXT, batch_size=2, bptt=5).training
    batches = streams([list(range(64))], settings)
    windows = [batches.batch(1, position) for position in range(batches.steps_per_epoch)]
    for before, after in pairwise(windows):
        assert torch.equal(before.targets[:, -1], after.inputs[:, 0])


def test_the_held_out_part_is_a_fixed_choice_and_never_trained_on() -> None:
    settings = config(TEXT, validation_fraction=0.25, seed=3).training
    lines = as_ids([[number] * 3 + [99] for number in range(20)])
    one, other = (split_lines(lines, settings) for _ in range(2))
    trained = {int(t) for b in _epoch(one) for t in b.inputs.flatten()} - {99}
    held = {int(t) for b in one.validation() for t in b.targets.flatten()} - {99}
    assert held == {int(t) for b in other.validation() for t in b.targets.flatten()} - {99}
    assert not trained & held
    assert len(held) == 5
    pairs = [Pair.join([number], [number], 98, 99) for number in range(20)]
    batches = split_pairs(pairs, settings)
    assert {int(t) for b in batches.validation() for t in b.inputs[:, 0]} == held
    assert sorted(int(t) for b in _epoch(batches) for t in b.inputs[:, 0]) == sorted(
        set(range(20)) - held
    )
    assert batches.validation_tokens == 10


@pytest.mark.parametrize("place", ["end", "everywhere"])
@pytest.mark.parametrize("tokens", [2, 30, 4_000, 40_000])
@pytest.mark.parametrize("fraction", [0.0, 0.05, 0.5])
def test_of_a_text_every_token_is_trained_on_or_held_out(
    fraction: float, tokens: int, place: str
) -> None:
    changes = {"validation_fraction": fraction, "validation_from": place, "batch_size": 1}
    settings = config(TEXT).training.model_copy(update=changes)
    batches = split_text(as_ids([list(range(tokens))]), settings)
    trained = [int(t) for b in _epoch(batches) for t in b.inputs.flatten()]
    held = [int(t) for b in batches.validation() for t in b.inputs.flatten()]
    assert not set(trained) & set(held)
    assert len(trained) == len(set(trained))
    assert abs(len(held) - fraction * tokens) <= HELD_OUT_PIECES + settings.batch_size
    assert len(trained) + len(held) >= tokens - HELD_OUT_PIECES
    if place == "everywhere" and len(held) > HELD_OUT_PIECES * HELD_OUT_TOKENS:
        parts = {token * HELD_OUT_PIECES // tokens for token in held}
        assert len(parts) == HELD_OUT_PIECES
    elif place == "end" and held:
        assert max(trained[:-1], default=0) - 1 <= min(held)


def test_weight_decay_spares_biases_and_the_embedding(model: LSTMLanguageModel) -> None:
    optimizer = make_optimizer(model, config(TEXT))
    names = {id(parameter): name for name, parameter in model.named_parameters()}
    shrinking = {
        names[id(parameter)]
        for group in optimizer.param_groups
        if group["weight_decay"] > 0
        for parameter in group["params"]
    }
    assert "lstm.weight_hh_l0" in shrinking
    assert not any("bias" in name or "embedding" in name for name in shrinking)
    assert sum(len(group["params"]) for group in optimizer.param_groups) == len(names)


def _epoch(batches):  # type: ignore[no-untyped-def]
    return [batches.batch(0, position) for position in range(batches.steps_per_epoch)]
