"""The library from the command line: `python -m lstmcore train`, `encode`, `sample`, `evaluate`.

What was asked for goes to standard output, everything else to standard error. Exit codes: 0 done,
1 it failed, 2 wrong use or settings, 130 stopped with Ctrl-C (a training keeps what it learned).
"""

import argparse
import os
import sys
from collections.abc import Sequence
from pathlib import Path

from lstmcore.config import FIELD_HELP, Sampling, parse_sampling
from lstmcore.corpus import LAYOUTS
from lstmcore.defaults import LEVEL_OF_PRESET
from lstmcore.errors import ConfigError, LSTMError
from lstmcore.terminal import DONE, FAILED, INTERRUPTED, WRONG_USE, fail, out, say
from lstmcore.training_commands import add_commands, open_corpus

NOT_ASKED = {"logprobs"}  # fields of Sampling that have no use here


def main(arguments: Sequence[str]) -> int:
    """Run one command; return its exit code."""
    try:
        asked = _parser().parse_args(arguments)
        return int(asked.run(asked))
    except SystemExit as error:  # argparse has said what is wrong
        return error.code if isinstance(error.code, int) else WRONG_USE
    except KeyboardInterrupt:
        return fail("stopped", INTERRUPTED)
    except (LSTMError, OSError) as error:
        return _explain(error)


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
            out("")
        else:
            out("\n\n".join(each["text"] for each in item["completions"]))
        if item["unknown_tokens"]:
            say(f"unknown to the model: {' '.join(item['unknown_tokens'])}")
        if "notice" in item:
            say(item["notice"])
    return DONE


def evaluate(asked: argparse.Namespace) -> int:
    """Measure how well a model expects a file."""
    from lstmcore import scoring  # noqa: PLC0415 - loads torch
    from lstmcore.export import load_model  # noqa: PLC0415

    lm = load_model(asked.folder)
    asked.layout = lm.layout
    found = scoring.evaluate(lm, open_corpus(asked))
    out(f"loss        {found.loss:.4f} nats a token")
    out(f"perplexity  {found.perplexity:,.2f}")
    out(f"tokens      {found.tokens:,}, unknown {found.unknown:,}")
    return DONE


def _explain(error: LSTMError | OSError) -> int:
    """Say what went wrong; return the exit code."""
    if isinstance(error, ConfigError):
        places = [f"{'.'.join(map(str, each['loc']))} {each['msg']}" for each in error.errors]
        return fail("\n  ".join(places) or str(error), WRONG_USE)
    if isinstance(error, LSTMError):
        return fail(f"{error} {getattr(error, 'advice', '')}".strip(), FAILED)
    if isinstance(error, BrokenPipeError):  # the reader of our output has had enough
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
        return FAILED
    return fail(f"{error.filename or 'the system'}: {error.strerror}", FAILED)


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(
        prog="python -m lstmcore", description="LSTM language models: train, sample, evaluate."
    )
    commands = parser.add_subparsers(required=True, metavar="COMMAND")

    add_commands(commands, list(LEVEL_OF_PRESET), LAYOUTS)

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


def _number(text: str) -> int | float:
    try:
        return int(text)
    except ValueError:
        return float(text)
