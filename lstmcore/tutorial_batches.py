"""The tutorial's data: four words of a line and the fifth, one at a time, in the recipe's order."""

from collections.abc import Iterator, Sequence

import torch
from torch import Tensor
from torch.utils.data import DataLoader

from lstmcore.batches import Batch
from lstmcore.tutorial import TutorialPair


class TutorialBatches:
    """Contexts (1, 4) and targets (1,) from a real DataLoader(batch_size=1, shuffle=True).

    The DataLoader draws its order from torch's global random numbers when an epoch starts. To go
    on in the middle of an epoch, their state at its start (`epoch_rng`) is kept and replayed.
    """

    carries_state = False
    streams = 1
    validation_tokens = 0

    def __init__(self, pairs: Sequence[TutorialPair]) -> None:
        """Take at least one pair."""
        self.pairs = pairs
        # a list of pairs is a dataset: the loader stacks tensors (4,) and () to (1, 4) and (1,)
        examples = [(torch.tensor(pair.context), torch.tensor(pair.target)) for pair in pairs]
        self._loader: DataLoader[tuple[Tensor, Tensor]] = DataLoader(
            examples,  # type: ignore[arg-type] # torch asks for its class but uses the protocol
            batch_size=1,
            shuffle=True,
        )
        self.steps_per_epoch = self.tokens_per_epoch = len(pairs)
        self.epoch_rng = torch.get_rng_state()  # at the start of self._epoch
        self._epoch = -1
        self._order: list[tuple[Tensor, Tensor]] = []

    def batch(self, epoch: int, position: int) -> Batch:
        """Batch `position` of epoch `epoch`; epochs are asked for in order."""
        if epoch != self._epoch:
            self.epoch_rng = torch.get_rng_state()
            self._order = [(inputs, targets) for inputs, targets in self._loader]
            self._epoch = epoch
        inputs, targets = self._order[position]  # (1, 4) and (1,)
        return Batch(inputs, targets, 1)

    def replay(self, epoch: int, epoch_rng: Tensor) -> None:
        """Draw the order of an epoch again. Leaves the global random numbers changed."""
        torch.set_rng_state(epoch_rng)
        self.batch(epoch, 0)

    def validation(self) -> Iterator[Batch]:
        """Nothing is held out."""
        return iter(())
