"""What people write by hand: a word language model over nn.LSTM, trained by the usual loop.

As in PyTorch's own example of a word language model: every logit is kept, `log_softmax` and
`NLLLoss`, gradients clipped, plain SGD; or an optimizer of torch at its defaults.
"""

import torch
from torch import Tensor, nn

CLIP = 0.25
DROPOUT = 0.2


class PlainModel(nn.Module):
    """Embedding, LSTM with the time first, linear layer."""

    def __init__(self, vocabulary: int, hidden: int, layers: int, dropout: float = DROPOUT) -> None:
        super().__init__()
        self.dropout = nn.Dropout(dropout)
        self.embedding = nn.Embedding(vocabulary, hidden)
        between = dropout if layers > 1 else 0.0
        self.lstm = nn.LSTM(hidden, hidden, layers, dropout=between)
        self.output = nn.Linear(hidden, vocabulary)

    def forward(
        self, ids: Tensor, state: tuple[Tensor, Tensor]
    ) -> tuple[Tensor, tuple[Tensor, Tensor]]:
        """Log probabilities (T * B, V) of ids (T, B)."""
        embedded = self.dropout(self.embedding(ids))
        hidden, state = self.lstm(embedded, state)
        logits = self.output(self.dropout(hidden))
        return torch.log_softmax(logits.flatten(0, 1), 1), state


class PlainLoop:
    """One training; `step` is everything that happens for a batch."""

    def __init__(self, model: PlainModel, batch: int, optimizer: str, rate: float) -> None:
        self.model, self.rate = model, rate
        self.optimizer = (
            torch.optim.AdamW(model.parameters(), rate) if optimizer == "adamw" else None
        )
        lstm = model.lstm
        zeros = torch.zeros(lstm.num_layers, batch, lstm.hidden_size)
        self.state = zeros, zeros

    def step(self, ids: Tensor, targets: Tensor) -> float:
        """Learn from ids and targets (B, T) each, with the state carried on."""
        self.model.train()
        self.model.zero_grad()
        h, c = self.state
        logprobs, self.state = self.model(ids.T, (h.detach(), c.detach()))
        loss = nn.functional.nll_loss(logprobs, targets.T.flatten())
        loss.backward()
        nn.utils.clip_grad_norm_(self.model.parameters(), CLIP)
        if self.optimizer is not None:
            self.optimizer.step()
        else:
            for parameter in self.model.parameters():
                parameter.data.add_(parameter.grad, alpha=-self.rate)
        return loss.item()
