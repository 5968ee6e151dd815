"""The library from the command line: `python -m lstmcore train`, `sample` and `evaluate`.

What was asked for goes to standard output, everything else to standard error. Exit codes: 0 done,
1 it failed, 2 wrong use or settings, 130 stopped with Ctrl-C (a training keeps what it learned).
"""

import argparse
import json
import os
import signal
import sys
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from lstmcore.config import FIELD_HELP, Sampling, parse_sampling, resolve_config
from lstmcore.corpus import LAYOUTS, read_corpus, summarize
from lstmcore.defaults import LEVEL_OF_PRESET
from lstmcore.errors import ConfigError, LSTMError, TrainingError

DONE, FAILED, WRONG_USE, INTERRUPTED = 0, 1, 2, 130
NOT_ASKED = {"logprobs"}  # fields of Sampling that have no use here
MOST_THREADS = 1024
Json = dict[str, Any]


def main(arguments: Sequence[str]) -> int:
    """Run one command; return its exit code."""
    try:
        asked = _parser().parse_args(arguments)
        return int(asked.run(asked))
    except SystemExit as error:  # argparse has said what is wrong
        return error.code if isinstance(error.code, int) else WRONG_USE
    except KeyboardInterrupt:
        return _fail("stopped", INTERRUPTED)
    except (LSTMError, OSError) as error:
        return _explain(error)


def train(asked: argparse.Namespace) -> int:
    """Learn from a file and write the model's folder."""
    folder = asked.out or asked.file.with_suffix(".model")
    if folder.exists() and (not folder.is_dir() or any(folder.iterdir())):
        return _fail(f"{folder} is there already: name another folder with --out", WRONG_USE)
    requested = _settings(asked.set)
    if asked.preset:
        requested["preset"] = asked.preset
    read = read_corpus(asked.file.read_bytes(), asked.file.name, layout=asked.layout)
    for note in read.report["notes"]:
        _say(note)
    config = resolve_config(requested, summarize(read.corpus))
    from lstmcore.training import Evaluated, Sampled, Trainer  # noqa: PLC0415 - loads torch

    trainer = Trainer.start(config, read.corpus, threads=asked.threads)
    code = DONE
    with _interrupts() as interrupted:
        _say(
            f"{read.report['characters']:,} characters as {read.report['layout']}, preset "
            f"{config.preset}: {trainer.language_model.parameters:,} parameters"
        )
        try:
            for event in trainer.run():
                if isinstance(event, Evaluated):
                    _say(_evaluated(event, trainer.total_steps))
                elif isinstance(event, Sampled):
                    _say("    " + " ".join(event.text.split("\n")))
                if interrupted:
                    code = INTERRUPTED
                    break
        except TrainingError as error:
            code = FAILED
            if trainer.best_loss is None:
                raise
            _fail(f"{error} {error.advice}\nThe best weights before that are kept.", code)
    trainer.write_best(folder)
    _print(str(folder))
    return code


def sample(asked: argparse.Namespace) -> int:
    """Continue a prompt, writing it as it comes."""
    given = {name: getattr(asked, name) for name in _sampling_fields()}
    sampling = parse_sampling({name: v for name, v in given.items() if v is not None})
    from lstmcore.sampling import load_model, stream  # noqa: PLC0415 - loads torch

    lm = load_model(asked.folder)
    for item in stream(lm, asked.prompt, sampling):
        if isinstance(item, str):
            if sampling.n == 1:
                sys.stdout.write(item)
                sys.stdout.flush()
            continue
        if sampling.n == 1:
            _print("")
        else:
            _print("\n\n".join(each["text"] for each in item["completions"]))
        if item["unknown_tokens"]:
            _say(f"unknown to the model: {' '.join(item['unknown_tokens'])}")
        if "notice" in item:
            _say(item["notice"])
    return DONE


def evaluate(asked: argparse.Namespace) -> int:
    """Measure how well a model expects a file."""
    from lstmcore import scoring  # noqa: PLC0415 - loads torch
    from lstmcore.export import load_model  # noqa: PLC0415

    lm = load_model(asked.folder)
    read = read_corpus(asked.file.read_bytes(), asked.file.name, layout=lm.layout)
    found = scoring.evaluate(lm, read.corpus)
    _print(f"loss        {found.loss:.4f} nats a token")
    _print(f"perplexity  {found.perplexity:,.2f}")
    _print(f"tokens      {found.tokens:,}, unknown {found.unknown:,}")
    return DONE


def _explain(error: LSTMError | OSError) -> int:
    """Say what went wrong; return the exit code."""
    if isinstance(error, ConfigError):
        places = [f"{'.'.join(map(str, each['loc']))} {each['msg']}" for each in error.errors]
        return _fail("\n  ".join(places) or str(error), WRONG_USE)
    if isinstance(error, LSTMError):
        return _fail(f"{error} {getattr(error, 'advice', '')}".strip(), FAILED)
    if isinstance(error, BrokenPipeError):  # the reader of our output has had enough
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
        return FAILED
    return _fail(f"{error.filename or 'the system'}: {error.strerror}", FAILED)


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(
        prog="python -m lstmcore", description="LSTM language models: train, sample, evaluate."
    )
    commands = parser.add_subparsers(required=True, metavar="COMMAND")

    command = commands.add_parser("train", help="learn from a file")
    command.add_argument("file", type=Path, metavar="FILE", help="text, CSV, TSV or JSON Lines")
    command.add_argument("--preset", choices=list(LEVEL_OF_PRESET), help=FIELD_HELP["preset"])
    command.add_argument("--out", type=Path, metavar="DIR", help="folder to write the model to")
    command.add_argument("--layout", choices=LAYOUTS, help="how the file is to be read")
    command.add_argument(
        "--set",
        action="append",
        default=[],
        metavar="NAME=VALUE",
        help="any setting, such as training.epochs=5 or model.layers=2; again for more",
    )
    command.add_argument("--threads", type=_threads, default=1, metavar="N", help="1 unless given")
    command.set_defaults(run=train)

    command = commands.add_parser("sample", help="continue a prompt")
    command.add_argument("folder", type=Path, metavar="DIR", help="a model's folder")
    command.add_argument("prompt", metavar="PROMPT")
    for name in _sampling_fields():
        flag = f"--{name.replace('_', '-')}"
        text = FIELD_HELP[f"sampling.{name}"]
        if name == "stop":
            command.add_argument(flag, action="append", metavar="TEXT", help=text)
        else:
            command.add_argument(flag, type=_number, metavar="X", help=text)
    command.set_defaults(run=sample)

    command = commands.add_parser("evaluate", help="measure how well a model expects a file")
    command.add_argument("folder", type=Path, metavar="DIR", help="a model's folder")
    command.add_argument("file", type=Path, metavar="FILE")
    command.set_defaults(run=evaluate)
    return parser


def _sampling_fields() -> list[str]:
    return [name for name in Sampling.model_fields if name not in NOT_ASKED]


def _threads(text: str) -> int:
    if not 1 <= int(text) <= MOST_THREADS:
        raise ValueError
    return int(text)


def _number(text: str) -> int | float:
    try:
        return int(text)
    except ValueError:
        return float(text)


def _settings(given: Sequence[str]) -> Json:
    """`model.layers=2` as {"model": {"layers": 2}}. Raises ConfigError."""
    settings: Json = {}
    for each in given:
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


@contextmanager
def _interrupts() -> Iterator[list[int]]:
    """A list that is empty until Ctrl-C is pressed; pressed again, it interrupts as usual."""
    pressed: list[int] = []

    def note(number: int, _: object) -> None:
        pressed.append(number)
        signal.signal(signal.SIGINT, signal.default_int_handler)

    before = signal.signal(signal.SIGINT, note)
    try:
        yield pressed
    finally:
        signal.signal(signal.SIGINT, before)


def _evaluated(event: Any, total: int) -> str:
    line = f"step {event.step:,} of {total:,}, epoch {event.epoch:,}: loss {event.train_loss:.4f}"
    if event.validation_loss is None:
        return line
    return f"{line}, held-out {event.validation_loss:.4f} (perplexity {event.perplexity:,.2f})"


def _print(line: str) -> None:
    sys.stdout.write(f"{line}\n")


def _say(line: str) -> None:
    sys.stderr.write(f"{line}\n")


def _fail(message: str, code: int) -> int:
    _say(f"lstmcore: {message}")
    return code
