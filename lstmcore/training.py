"""Training: a loop that tells what it did after every step and can stop after any of them.

`Trainer.run()` looks at where the training stands, does the one thing that is due (a step, an
evaluation, a sample), yields what came of it, and looks again. Nothing is remembered between two
of them but what `save` writes, so a training that was stopped anywhere and resumed ends with the
same weights, to the bit, as one that ran through (on the same kind of machine).
"""

import copy
import math
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any, Literal

import torch
from torch.nn import utils

from lstmcore.batches import derived_seed
from lstmcore.checkpoint import load_checkpoint, save_checkpoint
from lstmcore.config import LARGEST_SEED, Sampling, TrainConfig
from lstmcore.corpus import TextSource
from lstmcore.device import seed_device
from lstmcore.errors import TrainingError
from lstmcore.export import LanguageModel, write_model_folder
from lstmcore.loss import batch_loss
from lstmcore.model_card import model_card, perplexity
from lstmcore.model_record import ModelRecord
from lstmcore.optimizers import learning_rate, set_learning_rate
from lstmcore.precision import products
from lstmcore.preparation import sample_prompts
from lstmcore.progress import HistoryPoint, evaluation_interval
from lstmcore.sampling import generate
from lstmcore.tokenizer import Tokenizer
from lstmcore.training_events import Evaluated, Event, Sampled, StepDone
from lstmcore.training_state import TrainingState, from_checkpoint, start_state, to_checkpoint

__all__ = ["Evaluated", "Event", "Sampled", "StepDone", "Trainer"]

TUTORIAL_REPORT_EPOCHS = 10
SAMPLE_TOKENS = {"char": 120, "word": 25, "subword": 35}
SAMPLE_TEMPERATURE = 0.8


Stopped = Literal["finished", "early", "time limit"]


class Trainer:
    """One training. Steps and epochs are counted from 1: after the first step, `step` is 1."""

    def __init__(self, state: TrainingState, corpus: TextSource) -> None:
        """Use `start` or `resume`."""
        self._state = state
        self._prompts = sample_prompts(corpus, state.batches, state.tokenizer)
        self._clock = time.perf_counter  # what max_seconds counts
        self._warm = False  # a step was taken in this process, so that the next can be timed

    @classmethod
    def start(
        cls,
        config: TrainConfig,
        corpus: TextSource,
        *,
        threads: int | None = None,
        init_from: LanguageModel | None = None,
        cache: Path | None = None,
    ) -> "Trainer":
        """Begin a training; `threads` sets torch's for the whole process.

        A `cache` folder keeps the token ids of texts and lines for the next time.

        Raises TokenizerError, CorpusError or TrainingError when there is nothing to learn, and
        ConfigError when the model to start from has another shape.
        """
        if threads is not None:
            torch.set_num_threads(threads)
        return cls(start_state(config, corpus, init_from, cache), corpus)

    @classmethod
    def resume(
        cls,
        checkpoint: Path,
        corpus: TextSource,
        *,
        threads: int | None = None,
        cache: Path | None = None,
    ) -> "Trainer":
        """Go on from a saved checkpoint, with the corpus it was started on.

        Raises CheckpointError when the file is damaged, of a newer format or of another corpus.
        """
        if threads is not None:
            torch.set_num_threads(threads)
        return cls(from_checkpoint(load_checkpoint(checkpoint), corpus, cache), corpus)

    def run(self) -> Iterator[Event]:
        """Train until `stopped` says why. The caller may stop iterating after any item."""
        while self.stopped is None:
            if self._evaluation_is_due:
                yield self._evaluate()
            elif self._sample_is_due:
                yield self._sample()
            else:
                yield self._train_step()

    def _train_step(self) -> StepDone:
        """Everything that happens in a step, in order."""
        state, training = self._state, self.config.training
        model, optimizer, progress = state.model, state.optimizer, state.progress
        started = self._clock()
        rate = learning_rate(training, progress.step, progress.total_steps)
        set_learning_rate(optimizer, rate)
        model.train()
        optimizer.zero_grad()
        with self._own_random_numbers(), products(training.precision):
            epoch, position = divmod(progress.step, state.batches.steps_per_epoch)
            batch = state.batches.batch(epoch, position)  # ids and targets, (B, T) each
            batch = batch.to(model.device)
            seed_device(model.device, training.seed, progress.step)
            carried = state.carried if position > 0 else None  # 2 x (L, B, H)
            loss, after = batch_loss(model, batch, carried)  # a mean, in nats a token
            loss.backward()  # type: ignore[no-untyped-call]
            norm = utils.get_total_norm([p.grad for p in model.parameters() if p.grad is not None])
            value = loss.item()
            if not (math.isfinite(value) and math.isfinite(norm.item())):
                raise TrainingError.diverged(progress.step + 1, rate)  # nothing has changed yet
        if 0 < training.clip_norm < norm.item():
            utils.clip_grads_with_norm_(model.parameters(), training.clip_norm, norm)
        optimizer.step()
        if state.batches.carries_state:
            state.carried = (after[0].detach(), after[1].detach())  # truncated: no graph goes on
        progress.count_step(value, batch.tokens)
        if training.max_seconds is not None and not progress.timed:
            seconds = self._clock() - started
            progress.time_step(seconds, training.max_seconds, warm=self._warm)
        self._warm = True
        return StepDone(progress.step, self.epoch, value, batch.tokens, rate)

    def _evaluate(self) -> Evaluated:
        """Measure the held-out loss and keep the weights when they are the best so far."""
        state, progress = self._state, self._state.progress
        tutorial = self.config.preset == "tutorial"  # reports the loss of the last batch
        train_loss = progress.last_loss if tutorial else progress.loss_sum / progress.loss_tokens
        validation_loss = self._validation_loss() if state.batches.validation_tokens else None
        is_best = progress.add(
            HistoryPoint(
                step=progress.step,
                epoch=self.epoch,
                train_loss=train_loss,
                validation_loss=validation_loss,
            )
        )
        if is_best and validation_loss is not None:
            state.best = {name: tensor.clone() for name, tensor in state.model.tensors().items()}
        ppl = None if validation_loss is None else perplexity(validation_loss)
        return Evaluated(progress.step, self.epoch, train_loss, validation_loss, ppl, is_best)

    @torch.inference_mode()
    def _validation_loss(self) -> float:
        """Mean loss over all held-out targets, in nats a token."""
        state = self._state
        state.model.eval()
        total, tokens, carried = 0.0, 0, None
        for batch in state.batches.validation():
            loss, after = batch_loss(state.model, batch.to(state.model.device), carried)
            carried = after if state.batches.carries_state else None
            total += loss.item() * batch.tokens
            tokens += batch.tokens
        if not math.isfinite(total):
            raise TrainingError.diverged(state.progress.step, self.config.training.learning_rate)
        return total / tokens

    def _sample(self) -> Sampled:
        """Let the model write a little, with random numbers of its own."""
        state, step = self._state, self._state.progress.step
        seed = derived_seed("sample", self.config.training.seed, step)
        prompt = self._prompts[seed % len(self._prompts)]
        sampling = Sampling(
            max_tokens=SAMPLE_TOKENS[self.config.tokenizer.level],
            temperature=SAMPLE_TEMPERATURE,
            seed=seed % LARGEST_SEED,
        )
        written = generate(self.language_model, prompt, sampling)["completions"][0]["text"]
        state.progress.sampled_step = step
        return Sampled(step, f"{prompt} : {written.strip()}" if prompt else written)

    @contextmanager
    def _own_random_numbers(self) -> Iterator[None]:
        """Run with this training's random numbers, so that several can take turns."""
        outside = torch.get_rng_state()
        torch.set_rng_state(self._state.rng)
        try:
            yield
            self._state.rng = torch.get_rng_state()
        finally:
            torch.set_rng_state(outside)

    @property
    def _evaluation_is_due(self) -> bool:
        state, progress = self._state, self._state.progress
        step, per_epoch = progress.step, state.batches.steps_per_epoch
        if step == progress.evaluated_step:  # also before the first step
            return False
        if step >= progress.total_steps:
            return True
        if self.config.preset == "tutorial":  # after the 1st, 11th, 21st... epoch
            return step % (per_epoch * TUTORIAL_REPORT_EPOCHS) == per_epoch
        interval = evaluation_interval(
            progress.total_steps,
            state.batches.validation_tokens,
            state.batches.tokens_per_epoch / per_epoch,
        )
        return progress.timed and step % interval == 0

    @property
    def _sample_is_due(self) -> bool:
        progress = self._state.progress
        return progress.step == progress.evaluated_step != progress.sampled_step

    @property
    def stopped(self) -> Stopped | None:
        """Why there is nothing left to do; None while the training can go on."""
        progress = self._state.progress
        if self._evaluation_is_due or self._sample_is_due:
            return None
        if progress.step >= progress.total_steps:
            return "time limit" if progress.time_limited else "finished"
        patience = self.config.training.patience
        held_out = self._state.batches.validation_tokens > 0
        if patience is not None and held_out and progress.evaluations_since_best >= patience:
            return "early"
        return None

    def save(self, path: Path) -> None:
        """Write a checkpoint, whole or not at all. Not while an item of `run` is being made."""
        save_checkpoint(to_checkpoint(self._state), path)

    def write_best(self, folder: Path) -> dict[str, Any]:
        """Write the best model so far as a folder; return its record.

        The current weights are the best while nothing was evaluated or nothing is held out.
        """
        state, progress = self._state, self._state.progress
        point = next((p for p in progress.history if p.step == self.best_step), None)
        weights = state.model.tensors() if state.best is None else state.best
        record = ModelRecord(
            config=self.config,
            layout=state.layout,
            vocabulary_size=self.tokenizer.modelled_size,
            parameters=sum(tensor.numel() for tensor in weights.values()),
            step=self.best_step,
            epoch=point.epoch if point else self.epoch,
            train_loss=point.train_loss if point else None,
            validation_loss=point.validation_loss if point else None,
            corpus_sha256=state.corpus.sha256,
        )
        card = model_card(record, progress.history, state.corpus.nbytes)
        return write_model_folder(folder, record, weights, self.tokenizer, card)

    @property
    def config(self) -> TrainConfig:
        """The settings, as they were given."""
        return self._state.config

    @property
    def tokenizer(self) -> Tokenizer:
        """The tokenizer learned from the corpus."""
        return self._state.tokenizer

    @property
    def language_model(self) -> LanguageModel:
        """The model as it is now, ready to write; on the processor it shares its weights."""
        model = self._state.model
        model.eval()
        if model.device.type != "cpu":  # texts are written there, token by token
            model = copy.deepcopy(model).cpu()
        return LanguageModel(model, self._state.tokenizer, self._state.config, self._state.layout)

    @property
    def step(self) -> int:
        """Optimizer steps taken."""
        return self._state.progress.step

    @property
    def total_steps(self) -> int:
        """Steps planned; an estimate until a time limit was turned into steps."""
        return self._state.progress.expected_steps(self.config.training.max_seconds)

    @property
    def epoch(self) -> int:
        """The epoch of the last step, from 1; 0 before the first."""
        return -(-self.step // self._state.batches.steps_per_epoch)

    @property
    def total_epochs(self) -> int:
        """The epoch of the last step planned."""
        return -(-self.total_steps // self._state.batches.steps_per_epoch)

    @property
    def position(self) -> int:
        """Batches of the current epoch that are done."""
        return self._state.position

    @property
    def best_step(self) -> int:
        """The step whose weights `write_best` writes."""
        apart = self._state.best is not None and self._state.progress.best_step is not None
        return self._state.progress.best_step or 0 if apart else self.step

    @property
    def best_loss(self) -> float | None:
        """The lowest held-out loss so far, in nats a token; None when nothing was measured."""
        return self._state.progress.best_loss

    @property
    def history(self) -> list[dict[str, Any]]:
        """All evaluations: `step`, `epoch`, `train_loss`, `validation_loss`."""
        return [point.model_dump() for point in self._state.progress.history]
