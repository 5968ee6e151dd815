"""The network: embedding, LSTM layers, output. It knows token ids and nothing of text.

Shapes: B sequences side by side, T tokens, E numbers a token, H memory cells a layer, L layers,
V tokens in the vocabulary.
"""

from collections.abc import Iterable

import torch
from torch import Tensor, nn
from torch.nn.utils.rnn import pack_padded_sequence, pad_sequence

from lstmcore.config import ModelConfig
from lstmcore.dropout import kept
from lstmcore.precision import lstm_rounds
from lstmcore.softmax import AdaptiveSoftmax, FullSoftmax, NarrowingSoftmax, TiedAdaptiveSoftmax

State = tuple[Tensor, Tensor]  # what the network remembers: h and c, each (L, B, H)

TIED_RANGE = 0.1


class LSTMLanguageModel(nn.Module):
    """Predicts the next token at every position.

    The parts are made in the order of the tutorial and start as torch makes them, so the same seed
    gives the same weights as the tutorial's own class. Tied models are the exception: an embedding
    drawn from N(0, 1) would make huge logits as an output layer, so it starts within ±0.1.
    """

    def __init__(self, vocabulary: int, config: ModelConfig) -> None:
        """Draw the first weights from torch's global random numbers."""
        super().__init__()
        tied = config.tie_weights
        self.embedding = nn.Embedding(vocabulary, config.embed_dim)
        self.lstm = nn.LSTM(
            config.embed_dim,
            config.hidden_dim,
            num_layers=config.layers,
            batch_first=True,
        )
        self.projection = (
            nn.Linear(config.hidden_dim, config.embed_dim, bias=False)
            if tied and config.hidden_dim != config.embed_dim
            else None
        )
        self.output: FullSoftmax | AdaptiveSoftmax
        if config.softmax == "adaptive" and tied:
            self.output = TiedAdaptiveSoftmax(self.embedding)
        elif config.softmax == "adaptive":
            self.output = NarrowingSoftmax(config.hidden_dim, vocabulary)
        else:
            self.output = FullSoftmax(config.embed_dim if tied else config.hidden_dim, vocabulary)
        self._cells = self.lstm.all_weights  # of each layer; asking nn.LSTM at each step is slow
        self.dropout, self.locked = config.dropout, config.locked_dropout
        self.embedding_dropout = config.embedding_dropout
        self.tied = tied
        if tied:
            nn.init.uniform_(self.embedding.weight, -TIED_RANGE, TIED_RANGE)
        if tied and isinstance(self.output, FullSoftmax):
            self.output.weight = self.embedding.weight
            nn.init.zeros_(self.output.bias)

    def forward(self, ids: Tensor, state: State | None = None) -> tuple[Tensor, State]:
        """Read `ids` (B, T) on from `state`; return logits (B, T, V) and the new state."""
        features, state = self.features(ids, state)
        return self.output(features), state

    def features(self, ids: Tensor, state: State | None = None) -> tuple[Tensor, State]:
        """Read `ids` (B, T); return what the output layer takes in (B, T, H or E) and the state."""
        embedded = self._drop(self._embed(ids))  # (B, T, E)
        rounded = self.training and lstm_rounds(embedded, self.lstm.hidden_size)
        if rounded or (self.training and self.dropout > 0 and self.lstm.num_layers > 1):
            hidden, state = self._layer_by_layer(embedded, state, rounded=rounded)
        else:
            hidden, state = self.lstm(embedded, state)  # (B, T, H), 2 x (L, B, H)
        return self._project(self._drop(hidden)), state

    def _layer_by_layer(
        self, values: Tensor, state: State | None, *, rounded: bool = False
    ) -> tuple[Tensor, State]:
        """What nn.LSTM does, if `rounded` in mixed precision, and with our own dropout between.

        Its own is never locked, and on a GPU has random numbers nobody can repeat.
        """
        inside = torch.bfloat16 if rounded else values.dtype
        h, c = state or self.start_state(len(values))  # (L, B, H) each
        hs, cs = [], []
        for layer, weights in enumerate(self.lstm.all_weights):
            if layer > 0:
                values = self._drop(values)  # (B, T, H)
            one = slice(layer, layer + 1)
            values, h_after, c_after = _lstm_layer(values, h[one], c[one], weights, inside)
            hs.append(h_after)
            cs.append(c_after)
        return values, (torch.cat(hs), torch.cat(cs))

    def read_ragged(self, ids: list[Tensor], state: State) -> State:
        """Read sequences of different lengths, the longest first, on from `state`, 2 x (L, B, H).

        Returns the state after the last token of each.
        """
        lengths = torch.tensor([len(each) for each in ids])
        embedded = self.embedding(pad_sequence(ids, batch_first=True))  # (B, T, E)
        packed = pack_padded_sequence(embedded, lengths, batch_first=True)
        _, (h, c) = self.lstm(packed, state)
        return h, c

    def output_of(self, hidden: Tensor) -> Tensor:
        """Logits (B, V) from the last layer's memory (B, H)."""
        logits: Tensor = self.output(self._project(hidden))
        return logits

    def step(self, ids: Tensor, state: State) -> tuple[Tensor, State]:
        """Read one token a sequence, `ids` (B,); return logits (B, V) and the new state.

        For writing text: five times as fast as `forward` with T = 1, which packs the weights anew
        at each call.
        """
        below = nn.functional.embedding(ids, self.embedding.weight)  # (B, E)
        hs, cs = [], []
        for weights, h, c in zip(self._cells, *state, strict=True):
            below, c_after = torch.lstm_cell(below, (h, c), *weights)  # (B, H) each
            hs.append(below)
            cs.append(c_after)
        return self.output(self._project(below)), (torch.stack(hs), torch.stack(cs))

    def start_state(self, batch: int) -> State:
        """The state before anything was read: zeros, 2 x (L, B, H)."""
        shape = (self.lstm.num_layers, batch, self.lstm.hidden_size)
        zeros = torch.zeros(shape, device=self.device)
        return zeros, zeros

    def start_logits(self) -> Tensor:
        """What the network says before it has read anything, (1, V)."""
        return self.output_of(self.start_state(1)[0][-1])

    def tensors(self) -> dict[str, Tensor]:
        """The weights by name, as files hold them: a tied weight once, as the embedding."""
        return {
            name: tensor
            for name, tensor in self.state_dict().items()
            if not (self.tied and name in {"output.weight", "output.embedding.weight"})
        }

    def load_tensors(self, tensors: dict[str, Tensor]) -> None:
        """Take over weights whose names and shapes are those of `tensors()`."""
        mine = self.tensors()
        if mine.keys() != tensors.keys():
            raise ValueError("these are not the weights of this network")
        with torch.no_grad():
            for name, tensor in tensors.items():
                mine[name].copy_(tensor)

    @property
    def device(self) -> torch.device:
        """Where the weights are."""
        return self.embedding.weight.device

    def _embed(self, ids: Tensor) -> Tensor:
        """Rows of the embedding (B, T, E); some tokens are left out wherever they stand.

        As if the word were missing from the language for one batch: Gal and Ghahramani 2016,
        https://arxiv.org/abs/1512.05287.
        """
        embedded: Tensor = self.embedding(ids)
        if self.embedding_dropout == 0 or not self.training:
            return embedded
        tokens = embedded.new_empty(self.embedding.num_embeddings)  # (V,)
        return embedded * kept(tokens, self.embedding_dropout)[ids, None]

    def _drop(self, values: Tensor) -> Tensor:
        """Leave out some of values (B, T, N); the same ones at every position when locked."""
        # skipped when off: a call with 0 would still use up random numbers
        if self.dropout == 0 or not self.training:
            return values
        return values * kept(values[:, :1] if self.locked else values, self.dropout)

    def _project(self, hidden: Tensor) -> Tensor:
        if self.projection is None:
            return hidden
        projected: Tensor = self.projection(hidden)  # (..., H) -> (..., E)
        return projected


def _lstm_layer(
    values: Tensor, h: Tensor, c: Tensor, weights: Iterable[Tensor], inside: torch.dtype
) -> tuple[Tensor, ...]:
    """One LSTM layer over values (B, T, N) on from h and c (1, B, H), for learning.

    All but c, which adds up over many tokens, are of the type `inside` meanwhile.
    Returns h at each token (B, T, H), and h and c after the last, of the type of `values`.
    """
    before, h, *weights = (each.to(inside) for each in (values, h, *weights))
    found = torch.lstm(before, (h, c.to(values.dtype)), weights, True, 1, 0.0, True, False, True)
    return tuple(each.to(values.dtype) for each in found)
