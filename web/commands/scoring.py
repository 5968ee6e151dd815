"""`lstmq score` and `evaluate`: how well a model expects a text."""

from pathlib import Path

import click

from web.client import Json, model_path
from web.commands.configuration import reading_options
from web.commands.connection import connected
from web.commands.options import json_option, priority_option, url_option, wait_option
from web.commands.sources import Source, dataset_of, read_text
from web.commands.terminal import note, print_fields, print_json, print_table
from web.commands.watching import check_success, watch

LONGEST_SCORED = 1 << 20  # bytes; the service takes less, and says how much


@click.command()
@click.argument("model")
@click.argument("text", required=False)
@click.option(
    *("--file", "-f"),
    type=click.Path(exists=True, dir_okay=False, path_type=Path),
    help="Score what is in this file.",
)
@click.option("--prompt", default="", help="What comes before the text; not scored.")
@json_option
@url_option
def score(
    model: str, text: str | None, file: Path | None, prompt: str, url: str, *, as_json: bool
) -> None:
    """Show how well MODEL expects TEXT, token by token.

    TEXT may be `-` for standard input. For texts of more than a page use `lstmq evaluate`.
    """
    if (text is None) == (file is None):
        raise click.UsageError("give a TEXT, `-`, or --file")
    body = {"text": _content(file) if file else read_text(text or ""), "prompt": prompt}
    with connected(url) as client:
        found = client.ask("POST", f"{model_path(model)}/score", json=body)
    if as_json:
        print_json(found)
        return
    tokens = found["tokens"]
    print_table(
        ("token", "logprob", "expected"),
        (
            (
                *(repr(each["token"]), f"{each['logprob']:.3f}"),
                "" if each["token"] == each["expected"] else repr(each["expected"]),
            )
            for each in tokens
        ),
    )
    if found["unknown_tokens"]:
        note(f"Unknown to the model: {' '.join(found['unknown_tokens'])}")
    mean = -found["logprob"] / max(1, len(tokens))
    note(f"loss {mean:.4f} nats a token, perplexity {_large(found['perplexity'])}")


@click.command()
@click.argument("model")
@click.argument("source", metavar="FILE", type=Source(stored=True))
@click.option("--name", help="Name of the job.")
@priority_option
@reading_options
@wait_option
@json_option
@url_option
def evaluate(
    model: str,
    source: str,
    name: str | None,
    priority: str | None,
    layout: str | None,
    encoding: str | None,
    url: str,
    *,
    wait: bool,
    as_json: bool,
) -> None:
    """Measure how well MODEL expects FILE, as a job.

    Gives loss, perplexity, and the share of unknown tokens. FILE may be `-` for standard input, or
    the id of a stored text.
    """
    with connected(url) as client:
        dataset = dataset_of(client, source, layout=layout, encoding=encoding)
        job = client.submit("evaluate", model=model, dataset=dataset, name=name, priority=priority)
        if wait:
            job = watch(client, job)
    if as_json:
        print_json(job)
    elif not wait:
        click.echo(job["id"])
        note(f"Follow it: lstmq job {job['id']} --follow")
    if wait:
        check_success(job)
        if not as_json:
            print_fields(measured(job["result"]))


def measured(result: Json) -> list[tuple[str, object]]:
    """What an evaluation found."""
    return [
        ("loss", f"{result['loss']:.4f} nats a token"),
        ("perplexity", _large(result["perplexity"])),
        ("tokens", f"{result['tokens']:,}"),
        ("unknown", f"{result['unknown_share']:.1%}"),
    ]


def _content(file: Path) -> str:
    with file.open("rb") as opened:
        data = opened.read(LONGEST_SCORED + 1)
    if len(data) > LONGEST_SCORED:
        raise click.UsageError(
            f"{file} is too large to be shown token by token: use lstmq evaluate"
        )
    try:
        return data.decode("utf-8-sig")
    except UnicodeDecodeError:
        message = f"{file} is not UTF-8 text; lstmq evaluate reads other encodings"
        raise click.UsageError(message) from None


def _large(value: float | None) -> str:
    return "beyond all numbers" if value is None else f"{value:,.2f}"
