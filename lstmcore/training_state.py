"""Everything a training is made of, and its way into a checkpoint and back.

What is not here, and not in the configuration or the corpus, does not influence a training.
"""

from dataclasses import dataclass
from pathlib import Path
from typing import TypeVar

import torch
from torch import Tensor, optim

from lstmcore.batches import Batches
from lstmcore.checkpoint import Checkpoint, CheckpointState, check_shapes
from lstmcore.config import TrainConfig
from lstmcore.corpus import Layout, TextSource
from lstmcore.device import choose_device
from lstmcore.encoding import Fingerprint
from lstmcore.errors import CheckpointError, TokenizerError
from lstmcore.export import LanguageModel
from lstmcore.model import LSTMLanguageModel, State
from lstmcore.optimizers import (
    expected_optimizer_shapes,
    load_optimizer_tensors,
    make_optimizer,
    optimizer_tensors,
)
from lstmcore.preparation import learn_tokenizer, make_batches
from lstmcore.progress import Progress
from lstmcore.shapes import expected_shapes
from lstmcore.tokenizer import Tokenizer
from lstmcore.tutorial_batches import TutorialBatches
from lstmcore.warmstart import grown_tokenizer, take_over

T = TypeVar("T")

GENERATORS = ("rng", "rng_epoch")


@dataclass
class TrainingState:
    """A training between two steps."""

    config: TrainConfig
    layout: Layout
    corpus: Fingerprint
    tokenizer: Tokenizer
    batches: Batches
    model: LSTMLanguageModel
    optimizer: optim.Optimizer
    progress: Progress
    rng: Tensor  # of torch's global random numbers while this training runs
    carried: State | None = None  # 2 x (L, B, H), inside an epoch of streams
    best: dict[str, Tensor] | None = None  # weights at progress.best_step, if held-out text decides

    @property
    def position(self) -> int:
        """Batches of the current epoch that are done; 0 at its start."""
        return self.progress.step % self.batches.steps_per_epoch


def start_state(
    config: TrainConfig, corpus: TextSource, init_from: LanguageModel | None, cache: Path | None
) -> TrainingState:
    """A training before its first step. Leaves the global random numbers as they are."""
    fingerprint = Fingerprint.of(corpus)
    if init_from is None:
        tokenizer = learn_tokenizer(config, corpus, cache=cache, fingerprint=fingerprint)
    else:
        tokenizer = grown_tokenizer(config, corpus, init_from)
    batches = make_batches(config, corpus, tokenizer, cache=cache, fingerprint=fingerprint)
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(config.training.seed)
        model = LSTMLanguageModel(tokenizer.modelled_size, config.model)
        rng = torch.get_rng_state()
    if init_from is not None:
        take_over(model, tokenizer, init_from)
    progress = Progress(
        total_steps=config.training.epochs * batches.steps_per_epoch,
        timed=config.training.max_seconds is None,
    )
    model.to(choose_device(config.training.device))
    optimizer = make_optimizer(model, config)
    return TrainingState(
        config, corpus.layout, fingerprint, tokenizer, batches, model, optimizer, progress, rng
    )


def to_checkpoint(state: TrainingState) -> Checkpoint:
    """The state as it is now; the tensors are shared, not copied."""
    tensors = _prefixed("model", state.model.tensors())
    tensors |= _prefixed("optimizer", optimizer_tensors(state.optimizer, state.model))
    tensors["rng"] = state.rng
    if _best_is_apart(state.progress, state.batches) and state.best is not None:
        tensors |= _prefixed("best", state.best)
    if state.carried is not None and state.position > 0:
        tensors["carried.h"], tensors["carried.c"] = state.carried
    if isinstance(state.batches, TutorialBatches):
        tensors["rng_epoch"] = state.batches.epoch_rng
    record = CheckpointState(
        config=state.config,
        layout=state.layout,
        corpus_sha256=state.corpus.sha256,
        tokenizer=state.tokenizer.to_json(),
        progress=state.progress,
    )
    return Checkpoint(record, tensors)


def from_checkpoint(saved: Checkpoint, corpus: TextSource, cache: Path | None) -> TrainingState:
    """The state a checkpoint was made of. Raises CheckpointError when it does not fit together."""
    record = saved.state
    fingerprint = Fingerprint.of(corpus)
    if record.corpus_sha256 != fingerprint.sha256:
        raise CheckpointError("This training was started on another text; it needs the same one.")
    try:
        tokenizer = Tokenizer.from_json(record.tokenizer)
    except TokenizerError as error:
        raise CheckpointError(f"The checkpoint's tokenizer is damaged: {error}") from error
    config, progress = record.config, record.progress
    batches = make_batches(config, corpus, tokenizer, cache=cache, fingerprint=fingerprint)
    in_epoch = batches.carries_state and progress.step % batches.steps_per_epoch > 0
    best_apart = _best_is_apart(progress, batches)

    weights = expected_shapes(tokenizer.modelled_size, config.model)
    expected = _prefixed("model", weights)
    expected |= _prefixed("optimizer", expected_optimizer_shapes(weights, config, progress.step))
    expected |= _prefixed("best", weights) if best_apart else {}
    if in_epoch:
        carried = (config.model.layers, batches.streams, config.model.hidden_dim)
        expected |= {"carried.h": carried, "carried.c": carried}
    generators = {name: saved.tensors[name] for name in GENERATORS if name in saved.tensors}
    others = {name: tensor for name, tensor in saved.tensors.items() if name not in GENERATORS}
    check_shapes(others, expected, "The checkpoint")
    _check_generators(generators, tutorial=isinstance(batches, TutorialBatches))

    with torch.random.fork_rng(devices=[]):
        model = LSTMLanguageModel(tokenizer.modelled_size, config.model)
        if isinstance(batches, TutorialBatches) and progress.step % batches.steps_per_epoch > 0:
            batches.replay(progress.step // batches.steps_per_epoch, generators["rng_epoch"])
    model.load_tensors(saved.part("model"))
    device = choose_device(config.training.device)
    model.to(device)
    optimizer = make_optimizer(model, config)
    load_optimizer_tensors(optimizer, model, saved.part("optimizer"))
    best = _held_out_best(saved, progress, batches, model)
    carried_state = None
    if in_epoch:
        carried_state = (others["carried.h"].to(device), others["carried.c"].to(device))
    return TrainingState(
        config, record.layout, fingerprint, tokenizer, batches, model, optimizer,
        progress, generators["rng"], carried_state, best,
    )  # fmt: skip


def _best_is_apart(progress: Progress, batches: Batches) -> bool:
    """Whether the best weights are others than the current ones."""
    best = progress.best_step
    return batches.validation_tokens > 0 and best is not None and best != progress.step


def _held_out_best(
    saved: Checkpoint, progress: Progress, batches: Batches, model: LSTMLanguageModel
) -> dict[str, Tensor] | None:
    if batches.validation_tokens == 0 or progress.best_step is None:
        return None
    if _best_is_apart(progress, batches):
        return saved.part("best")
    return {name: tensor.clone() for name, tensor in model.tensors().items()}


def _check_generators(found: dict[str, Tensor], *, tutorial: bool) -> None:
    if len(found) != (2 if tutorial else 1) or "rng" not in found:
        raise CheckpointError("The checkpoint's random numbers are missing.")
    for state in found.values():
        try:
            torch.Generator().set_state(state)
        except (RuntimeError, TypeError) as error:
            raise CheckpointError(f"The checkpoint's random numbers are damaged: {error}") from None


def _prefixed(prefix: str, values: dict[str, T]) -> dict[str, T]:
    return {f"{prefix}.{name}": value for name, value in values.items()}
