"""`lstmq predict`, `next` and `batch`: a model goes on with a prompt, or with many."""

import sys
from pathlib import Path
from typing import Any

import click

from web.client import ApiError, Client, Json, model_path
from web.commands.configuration import reading_options
from web.commands.connection import connected
from web.commands.downloads import save
from web.commands.options import json_option, priority_option, url_option, wait_option
from web.commands.sampling import sampling_from, sampling_options
from web.commands.sources import Source, dataset_of, read_text
from web.commands.terminal import note, print_json, print_table, printable
from web.commands.watching import check_success, watch
from web.commands.wording import join
from web.event_stream import MEDIA_TYPE, messages


@click.command()
@click.argument("model")
@click.argument("prompt")
@click.option(
    "--stream/--no-stream",
    default=None,
    help="Write tokens as they come (the default for people), or all at the end.",
)
@sampling_options
@json_option
@url_option
def predict(
    model: str, prompt: str, url: str, *, stream: bool | None, as_json: bool, **settings: Any
) -> None:
    """Let MODEL go on with PROMPT.

    PROMPT may be `-` for standard input. MODEL is a model's id or name, or the id of a training:
    its best model so far. With --json --stream each line is a token or the result.
    """
    sampling = sampling_from(settings)
    text = read_text(prompt)
    alone = sampling.get("n", 1) == 1 and sampling.get("beams", 1) == 1
    if stream and not (alone or as_json):
        raise click.UsageError("several texts would be mixed up: leave --stream out")
    if stream is None:
        stream = alone and not as_json
    body = {"prompt": text, "sampling": sampling}
    with connected(url) as client:
        if stream:
            result = _stream(client, model, body, as_json=as_json)
        else:
            result = client.ask("POST", f"{model_path(model)}/predict", json=body)
            if as_json:
                print_json(result)
            else:
                for completion in result["completions"]:
                    click.echo(printable(text + join(text, completion["text"])))
    if not as_json:
        _remark(result)


def _stream(client: Client, model: str, body: Json, *, as_json: bool) -> Json:
    """Write tokens as they come; the result that follows them."""
    prompt, begun = body["prompt"], False
    headers = {"Accept": MEDIA_TYPE}
    address = f"{model_path(model)}/predict"
    with client.stream("POST", address, json={**body, "stream": True}, headers=headers) as answer:
        for item in messages(answer.iter_bytes()):
            if item["type"] == "error":
                raise ApiError(item["error"]["detail"], item["error"]["status"])
            if as_json:
                print_json(item)
            elif item["type"] == "token" and item["text"]:
                _write(item["text"] if begun else prompt + join(prompt, item["text"]))
                begun = True
            if item["type"] == "result":
                if not as_json:
                    _write("\n" if begun else f"{prompt}\n")
                result: Json = item["result"]
                return result
    raise ApiError("The service broke off before the end.", None)


def _write(text: str) -> None:
    sys.stdout.write(printable(text))
    sys.stdout.flush()


def _remark(result: Json) -> None:
    """What else is worth knowing: not the text, so not on standard output."""
    if result["unknown_tokens"]:
        note(f"Unknown to the model: {' '.join(result['unknown_tokens'])}")
    if result.get("notice"):
        note(result["notice"])


@click.command(name="next")
@click.argument("model")
@click.argument("prompt")
@json_option
@url_option
def next_tokens(model: str, prompt: str, url: str, *, as_json: bool) -> None:
    """Show what MODEL expects after PROMPT.

    The likeliest tokens with their probabilities. PROMPT may be `-` for standard input.
    """
    body = {"prompt": read_text(prompt), "sampling": {"max_tokens": 0}}
    with connected(url) as client:
        result = client.ask("POST", f"{model_path(model)}/predict", json=body)
    if as_json:
        print_json(result["next_tokens"])
        return
    _remark(result)
    print_table(
        ("token", "probability"),
        ((repr(each["token"]), f"{each['probability']:.1%}") for each in result["next_tokens"]),
    )


@click.command()
@click.argument("model")
@click.argument("source", metavar="FILE", type=Source(stored=True))
@click.option(
    *("--output", "-o"),
    type=click.Path(dir_okay=False, path_type=Path),
    help="Where the answers go; else standard output.",
)
@click.option("--name", help="Name of the job.")
@priority_option
@sampling_options
@reading_options
@wait_option
@json_option
@url_option
def batch(
    model: str,
    source: str,
    output: Path | None,
    name: str | None,
    priority: str | None,
    layout: str | None,
    encoding: str | None,
    url: str,
    *,
    wait: bool,
    as_json: bool,
    **settings: Any,
) -> None:
    """Let MODEL go on with every line of FILE, as a job.

    FILE may be `-` for standard input, or the id of a stored text; of pairs the prompts count. The
    answers are JSON Lines.
    """
    sampling = sampling_from(settings)
    with connected(url) as client:
        dataset = dataset_of(client, source, layout=layout, encoding=encoding)
        job = client.submit(
            *("predict",),
            model=model,
            dataset=dataset,
            sampling=sampling,
            name=name,
            priority=priority,
        )
        if wait:
            job = watch(client, job)
            check_success(job)
            save(client, f"/jobs/{job['id']}/download", output)
    if as_json and (output or not wait):
        print_json(job)
    elif not wait:
        click.echo(job["id"])
        note(f"Its answers, once it is done: lstmq job {job['id']} download")
