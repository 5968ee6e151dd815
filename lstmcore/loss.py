"""The loss: how surprised the network is by the tokens that really came, in nats a token."""

from torch import Tensor
from torch.nn import functional

from lstmcore.batches import IGNORED, Batch
from lstmcore.model import LSTMLanguageModel, State


def batch_loss(model: LSTMLanguageModel, batch: Batch, state: State | None) -> tuple[Tensor, State]:
    """Mean loss over the targets of a batch, and the state after it (not yet detached).

    Targets of shape (B, T) are taken at every position that is not IGNORED; targets of shape (B,)
    at the last position only, as in the tutorial.
    """
    features, state = model.features(batch.inputs, state)  # (B, T, H)
    if batch.targets.dim() == 1:
        logits = model.output(features[:, -1, :])  # (B, V)
        return functional.cross_entropy(logits, batch.targets), state
    rows, targets = features.flatten(0, 1), batch.targets.flatten()  # (N, H) and (N,)
    if batch.tokens < len(targets):
        counted = targets != IGNORED
        rows, targets = rows[counted], targets[counted]
    return model.output.loss(rows, targets, batch.tokens), state
