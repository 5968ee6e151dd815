"""`python -m lstmcore train` and `encode`: from a file to a model, and to token ids in a cache."""

import argparse
import json
import sys
import time
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from lstmcore.config import FIELD_HELP, TrainConfig, continued_config, resolve_config
from lstmcore.corpus import TextSource, read_corpus, summarize
from lstmcore.corpus_file import CorpusFile
from lstmcore.errors import ConfigError, CorpusError, TrainingError
from lstmcore.terminal import (
    DONE,
    FAILED,
    INTERRUPTED,
    WRONG_USE,
    ProgressLine,
    fail,
    interrupts,
    out,
    say,
)

LARGE_FILE = 64 * 1024 * 1024  # bytes; such a text stays in its file
SAVE_SECONDS = 60  # between two checkpoints
Json = dict[str, Any]


def train(asked: argparse.Namespace) -> int:
    """Learn from a file and write the model's folder."""
    folder = asked.out or asked.file.with_suffix(".model")
    if folder.exists() and (not folder.is_dir() or any(folder.iterdir())):
        return fail(f"{folder} is there already: name another folder with --out", WRONG_USE)
    requested = requested_settings(asked)
    corpus = open_corpus(asked)
    trainer = _trainer(asked, requested, corpus)
    code = DONE
    with interrupts() as interrupted:
        say(
            f"{corpus.layout}, preset {trainer.config.preset}: "
            f"{trainer.language_model.parameters:,} parameters, "
            f"{trainer.tokenizer.modelled_size:,} tokens in the vocabulary"
        )
        try:
            code = _run(trainer, asked.checkpoint, interrupted)
        except TrainingError as error:
            if trainer.best_loss is None:
                raise
            code = fail(f"{error} {error.advice}\nThe best weights before that are kept.", FAILED)
    trainer.write_best(folder)
    out(str(folder))
    return code


def encode(asked: argparse.Namespace) -> int:
    """Put a file's token ids into a cache folder, so that trainings need not make them again."""
    corpus = open_corpus(asked)
    config = resolve_config(requested_settings(asked), summarize(corpus))
    if config.preset == "tutorial" or corpus.layout == "pairs":
        raise CorpusError("Pairs and the tutorial's lines are not cached: train on them directly.")
    from lstmcore.encoding import Fingerprint, encode_corpus  # noqa: PLC0415 - loads numpy
    from lstmcore.preparation import learn_tokenizer  # noqa: PLC0415 - loads torch

    began, fingerprint = time.monotonic(), Fingerprint.of(corpus)
    tokenizer = learn_tokenizer(config, corpus, cache=asked.cache, fingerprint=fingerprint)
    learned = time.monotonic()
    ids = encode_corpus(corpus, tokenizer, cache=asked.cache, fingerprint=fingerprint)
    seconds = time.monotonic() - learned
    say(f"vocabulary {learned - began:.1f} s, ids {seconds:.1f} s")
    out(f"tokens      {len(ids.values):,} in {len(ids.lengths):,} documents")
    out(f"vocabulary  {tokenizer.vocabulary_size:,}")
    out(f"bytes       {ids.values.nbytes:,} for {fingerprint.nbytes:,} of text")
    return DONE


def open_corpus(asked: argparse.Namespace) -> TextSource:
    """The corpus of the file that was named; a large plain text stays in its file."""
    if asked.file.stat().st_size >= LARGE_FILE and asked.file.is_file():
        try:
            return CorpusFile.open(asked.file, layout=asked.layout)
        except CorpusError as error:
            say(f"{error} Reading the whole file into memory instead.")
    read = read_corpus(asked.file.read_bytes(), asked.file.name, layout=asked.layout)
    for note in read.report["notes"]:
        say(note)
    return read.corpus


def requested_settings(asked: argparse.Namespace) -> Json:
    """`--preset` and `--set model.layers=2` as {"model": {"layers": 2}}. Raises ConfigError."""
    settings: Json = {"preset": asked.preset} if asked.preset else {}
    for each in asked.set:
        name, equals, text = each.partition("=")
        section, dot, field = name.partition(".")
        if not equals or name not in FIELD_HELP or name.startswith("sampling."):
            raise ConfigError(f"--set {each}: write NAME=VALUE with the name of a setting.")
        try:
            value = json.loads(text)
        except ValueError:
            value = text  # such as optimizer=sgd
        if not dot:
            settings[name] = value
        elif isinstance(settings.setdefault(section, {}), dict):
            settings[section][field] = value
    return settings


def _trainer(asked: argparse.Namespace, requested: Json, corpus: TextSource) -> Any:
    """A new training, or the one that the checkpoint was made of."""
    from lstmcore.export import load_model  # noqa: PLC0415 - loads torch
    from lstmcore.training import Trainer  # noqa: PLC0415 - loads torch

    if asked.checkpoint and asked.checkpoint.exists():
        trainer = Trainer.resume(asked.checkpoint, corpus, threads=asked.threads, cache=asked.cache)
        _check_same(requested, trainer.config)
        say(f"going on from step {trainer.step:,} of {trainer.total_steps:,}")
        return trainer
    parent = load_model(asked.init_from) if asked.init_from else None
    if parent is not None:
        requested = continued_config(requested, parent.config)
    config = resolve_config(requested, summarize(corpus))
    return Trainer.start(config, corpus, threads=asked.threads, init_from=parent, cache=asked.cache)


def _check_same(requested: Json, config: TrainConfig) -> None:
    """Refuse settings that a training which has begun does not have."""
    has = config.model_dump(mode="json")
    for name, value in requested.items():
        fields = value.items() if isinstance(value, dict) else [(None, value)]
        for field, wanted in fields:
            found = has[name] if field is None else has[name].get(field)
            if wanted not in (found, "auto"):
                place = name if field is None else f"{name}.{field}"
                raise ConfigError(
                    f"The checkpoint's training has {place} {found}, not {wanted}: leave the "
                    "setting out, or name another --checkpoint to begin anew."
                )


def _run(trainer: Any, checkpoint: Path | None, interrupted: list[int]) -> int:
    """Train to the end, or to an interrupt; tell how it goes; save now and then."""
    from lstmcore.training import Evaluated, Sampled, StepDone  # noqa: PLC0415 - loads torch

    saved, line = time.monotonic(), ProgressLine(sys.stderr)
    first, began, tokens = trainer.step, time.monotonic(), 0
    for event in trainer.run():
        now = time.monotonic()
        if isinstance(event, StepDone):
            tokens += event.tokens
            seconds = max(now - began, 1e-6)
            left = (trainer.total_steps - event.step) * seconds / (event.step - first)
            line.show(
                f"step {event.step:,} of {trainer.total_steps:,}, loss {event.loss:.3f}, "
                f"{tokens / seconds:,.0f} tokens/s, {_clock(left)} left"
            )
        elif isinstance(event, Evaluated):
            line.clear()
            say(_evaluated(event, trainer.total_steps))
        elif isinstance(event, Sampled):
            line.clear()
            say("    " + " ".join(event.text.split("\n")))
        if checkpoint and (interrupted or now - saved > SAVE_SECONDS):
            trainer.save(checkpoint)
            saved = now
        if interrupted:
            break
    line.clear()
    if checkpoint:
        trainer.save(checkpoint)
    return INTERRUPTED if interrupted else DONE


def _evaluated(event: Any, total: int) -> str:
    line = f"step {event.step:,} of {total:,}, epoch {event.epoch:,}: loss {event.train_loss:.4f}"
    if event.validation_loss is None:
        return line
    return f"{line}, held-out {event.validation_loss:.4f} (perplexity {event.perplexity:,.2f})"


def _clock(seconds: float) -> str:
    minutes, rest = divmod(round(seconds), 60)
    hours, minutes = divmod(minutes, 60)
    return f"{hours}:{minutes:02}:{rest:02}" if hours else f"{minutes}:{rest:02}"


def add_commands(commands: Any, presets: Sequence[str], layouts: Sequence[str]) -> None:
    """`train` and `encode` with their options."""
    command = commands.add_parser("train", help="learn from a file")
    _add_text(command, presets, layouts)
    command.add_argument("--out", type=Path, metavar="DIR", help="folder to write the model to")
    command.add_argument(
        "--checkpoint",
        type=Path,
        metavar="PATH",
        help="save here every minute and when stopped; if it is there already, go on from it",
    )
    command.add_argument(
        "--init-from", type=Path, metavar="DIR", help="a model's folder to go on from"
    )
    command.add_argument("--cache", type=Path, metavar="DIR", help="keep the token ids here")
    command.add_argument("--threads", type=threads, default=1, metavar="N", help="1 unless given")
    command.set_defaults(run=train)

    command = commands.add_parser("encode", help="put a file's token ids into a cache")
    _add_text(command, presets, layouts)
    command.add_argument("--cache", type=Path, metavar="DIR", required=True)
    command.set_defaults(run=encode)


def _add_text(command: Any, presets: Sequence[str], layouts: Sequence[str]) -> None:
    command.add_argument("file", type=Path, metavar="FILE", help="text, CSV, TSV or JSON Lines")
    command.add_argument("--preset", choices=presets, help=FIELD_HELP["preset"])
    command.add_argument("--layout", choices=layouts, help="how the file is to be read")
    command.add_argument(
        "--set",
        action="append",
        default=[],
        metavar="NAME=VALUE",
        help="any setting, such as training.epochs=5 or model.layers=2; again for more",
    )


MOST_THREADS = 1024


def threads(text: str) -> int:
    """A number of threads. Raises ValueError for one that makes no sense."""
    if not 1 <= int(text) <= MOST_THREADS:
        raise ValueError
    return int(text)
