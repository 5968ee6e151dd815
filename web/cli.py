"""The command `lstmq`: run the service, and use one over its HTTP API.

Exit codes: 0 done, 1 it failed, 2 wrong use or settings, 3 the folder or port is taken.
"""

import signal
import sys
import threading
from pathlib import Path
from typing import Any, NoReturn

import click
from rich.console import Console
from rich.progress import BarColumn, Progress, TextColumn
from rich.table import Table

from web.client import ApiError, Client, Json
from web.key_commands import audit, keys
from web.lock import Occupied, locked
from web.status_command import status
from web.terminal import (
    connected,
    data_dir_option,
    fail,
    installation,
    read_settings,
    say,
    url_option,
)
from worker.errors import WorkerError
from worker.settings import Settings

OCCUPIED = 3
SAMPLES = Path(__file__).with_name("samples")


@click.group(context_settings={"help_option_names": ["-h", "--help"]})
@click.version_option(package_name="lstmq")
def main() -> None:
    """LSTM language models, trained and served from a queue."""


main.add_command(keys)
main.add_command(audit)
main.add_command(status)

# ---- the service --------------------------------------------------------------------------------


@main.command()
@click.option("--port", type=click.IntRange(0, 65535), help="Port; 0 takes a free one.")
@data_dir_option
@click.option("--sample", is_flag=True, help="Train the sample when there is no job yet.")
def up(port: int | None, data_dir: Path | None, *, sample: bool) -> None:
    """Run the whole service until Ctrl-C."""
    settings = read_settings(port=port, data_dir=data_dir)
    # Only now: the rest of the service reads the settings when it is imported.
    from sqlalchemy.exc import SQLAlchemyError  # noqa: PLC0415

    from web.installation import prepare  # noqa: PLC0415
    from web.supervisor import CannotStart  # noqa: PLC0415

    def on_ready(url: str) -> None:
        # In a thread of its own: looking after the parts must not wait for answers.
        threading.Thread(target=greet, args=(settings, url, sample), daemon=True).start()

    try:
        with prepare(settings, say, on_ready) as service:
            for number in (signal.SIGINT, signal.SIGTERM, signal.SIGHUP):
                signal.signal(number, lambda *_: service.supervisor.request_stop())
            say("lstmq", f"starting on {service.url}, data in {settings.data_dir}")
            service.supervisor.run()
    except Occupied as error:
        fail(str(error), OCCUPIED)
    except (CannotStart, SQLAlchemyError, WorkerError, OSError) as error:
        fail(str(error), 1)
    except ValueError as error:
        fail(str(error), 2)
    say("lstmq", "stopped")


def greet(settings: Settings, url: str, sample: bool) -> None:
    """Say where the service is and what is missing; submit the sample where there is no job."""
    with Client(url, next(iter(settings.api_keys.values()), "")) as client:
        try:
            if missing := client.readiness():
                say("lstmq", f"not ready: {missing}")
            if sample and not client.newest("jobs", limit=1):
                submit_sample(client)
        except ApiError as error:
            say("lstmq", str(error))
    say("lstmq", f"ready on {url}    (Ctrl-C stops it)")


@main.command()
@data_dir_option
def verify(data_dir: Path | None) -> None:
    """Check that records and artifacts agree; exit 1 when something is missing or damaged."""
    from worker.verification import verify as check_all  # noqa: PLC0415 - not for other commands

    with installation(data_dir) as backend:
        report(check_all(backend))


@main.command()
@click.argument("folder", type=click.Path(path_type=Path))
@data_dir_option
def backup(folder: Path, data_dir: Path | None) -> None:
    """Copy records and artifacts into FOLDER, which must be empty; the service may run."""
    from worker.backup import back_up  # noqa: PLC0415

    with installation(data_dir) as backend:
        report(back_up(backend, folder))


@main.command()
@click.argument("folder", type=click.Path(exists=True, file_okay=False, path_type=Path))
@data_dir_option
def restore(folder: Path, data_dir: Path | None) -> None:
    """Make an installation of a backup; refused where there is one already."""
    from worker import backup as copies  # noqa: PLC0415

    settings = read_settings(data_dir=data_dir)
    settings.data_dir.mkdir(mode=0o700, parents=True, exist_ok=True)
    try:
        with locked(settings.data_dir):
            report(copies.restore(settings, folder))
    except (Occupied, WorkerError, OSError) as error:
        fail(str(error), OCCUPIED if isinstance(error, Occupied) else 1)


def report(done: Any) -> NoReturn:
    """Say what was found or copied; exit 1 unless all of it is good."""
    click.echo("\n".join(done.lines()))
    sys.exit(0 if done.good else 1)


@main.command()
@click.option("--data-dir", type=click.Path(path_type=Path), default=Path("var/demo"))
def demo(data_dir: Path) -> None:
    """Train the bundled samples on a service of its own, predict, and stop."""
    from web.demo import run_demo  # noqa: PLC0415 - only this command needs it

    sys.exit(run_demo(data_dir))


def submit_sample(client: Client) -> Json:
    """Submit a training of the tutorial's lines."""
    dataset = client.upload(SAMPLES / "tutorial.txt", "tutorial")
    return client.train(dataset["id"], name="tutorial", config={"preset": "tutorial"})


# ---- using one ----------------------------------------------------------------------------------


@main.command()
@click.argument("file", type=click.Path(exists=True, dir_okay=False, path_type=Path))
@click.option("--preset", type=click.Choice(["tutorial", "char", "word", "subword"]))
@click.option("--name", help="Name of the job and the model; else the file's.")
@click.option("--wait/--no-wait", default=True, help="Follow it to its end.")
@url_option
def train(file: Path, preset: str | None, name: str | None, url: str | None, *, wait: bool) -> None:
    """Train a model on FILE: text, CSV, JSONL, or `prompt : completion` lines."""
    with connected(url) as client:
        dataset = client.upload(file)
        config = {"preset": preset} if preset else {}
        job = client.train(dataset["id"], name=name or file.stem, config=config)
        click.echo(f"{client.url}/jobs/{job['id']}")
        if not wait:
            return
        job = follow(client, job)
        if job["state"] != "succeeded":
            reason = (job.get("error") or {}).get("message", "")
            fail(f"The training {job['state']}. {reason}".rstrip(), 1)
        click.echo(
            f"Model {job['result']['model']}: lstmq predict {job['result']['model']} 'your prompt'"
        )


@main.command()
@click.argument("model")
@click.argument("prompt")
@click.option("--max-tokens", type=int, default=30, show_default=True)
@click.option("--temperature", type=float, default=1.0, show_default=True, help="0 is greedy.")
@click.option("--seed", type=int)
@url_option
def predict(model: str, prompt: str, url: str | None, **sampling: Any) -> None:
    """Let MODEL (its id or name) go on with PROMPT."""
    given = {name: value for name, value in sampling.items() if value is not None}
    with connected(url) as client:
        result = client.predict(model, [prompt], given)[0]
    if result.get("notice"):
        click.echo(result["notice"], err=True)
    for completion in result["completions"]:
        click.echo(prompt + join(prompt, completion["text"]))
    click.echo()
    for item in result["next_tokens"][:5]:
        click.echo(f"{item['probability']:7.1%}  {item['token']!r}")


@main.command()
@url_option
def jobs(url: str | None) -> None:
    """The newest jobs."""
    with connected(url) as client:
        found = client.newest("jobs")
    table = Table("id", "name", "kind", "state", "done", "loss")
    for job in found:
        loss = job["metrics"].get("train_loss")
        table.add_row(
            *(job["id"], job["name"], job["kind"], job["state"]),
            f"{job['progress']['fraction']:.0%}",
            "" if loss is None else f"{loss:.3f}",
        )
    Console().print(table)


@main.command()
@url_option
def models(url: str | None) -> None:
    """The newest models."""
    with connected(url) as client:
        found = client.newest("models")
    table = Table("id", "name", "preset", "made")
    for model in found:
        table.add_row(model["id"], model["name"], model["config"]["preset"], model["created_at"])
    Console().print(table)


def follow(client: Client, job: Json) -> Json:
    """Show a job's progress until it ends."""
    columns = (
        TextColumn("{task.description}"),
        BarColumn(),
        TextColumn("{task.percentage:>3.0f} %"),
        TextColumn("{task.fields[facts]}"),
    )
    with Progress(*columns) as progress:
        bar = progress.add_task(job["name"], total=1.0, facts=job["state"])
        return client.finished(
            job["id"],
            lambda now: progress.update(
                bar, completed=now["progress"]["fraction"], facts=facts_of(now)
            ),
        )


def facts_of(job: Json) -> str:
    """A job's state, loss and remaining time in a few words."""
    words = [job["state"]]
    if (loss := job["metrics"].get("train_loss")) is not None:
        words.append(f"loss {loss:.3f}")
    if (left := job["progress"].get("eta_seconds")) and job["state"] == "running":
        words.append(f"{left:.0f} s left")
    if job["state"] == "queued" and job.get("queue_position"):
        words.append(f"number {job['queue_position']} in the queue")
    return ", ".join(words)


def join(prompt: str, completion: str) -> str:
    """A completion as it stands after its prompt: word models leave the space between out."""
    needs_space = prompt and completion and not prompt[-1].isspace() and not completion[0].isspace()
    return f" {completion}" if needs_space else completion


if __name__ == "__main__":
    main()
