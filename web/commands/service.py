"""`lstmq up` and `lstmq demo`: the service itself."""

import os
import signal
import sys
import threading
from functools import partial
from pathlib import Path

import click

from web.client import ApiError, Client, Json
from web.commands.options import data_dir_option
from web.commands.records import read_settings
from web.commands.terminal import Exit, fail, print_json, say
from web.lock import Occupied
from worker.errors import WorkerError
from worker.settings import Settings

SAMPLES = Path(__file__).parents[1] / "samples"


@click.command()
@click.option("--port", type=click.IntRange(0, 65535), help="Port; 0 takes a free one.")
@data_dir_option
@click.option("--sample", is_flag=True, help="Train the sample when there is no job yet.")
@click.option(
    "--json", "as_json", is_flag=True, help="Print one JSON line when it is ready, nothing else."
)
def up(port: int | None, data_dir: Path | None, *, sample: bool, as_json: bool) -> None:
    """Run the whole service until Ctrl-C."""
    settings = read_settings(port=port, data_dir=data_dir)
    # Only now: the rest of the service reads the settings when it is imported.
    from sqlalchemy.exc import SQLAlchemyError  # noqa: PLC0415

    from web.installation import prepare  # noqa: PLC0415
    from web.supervisor import CannotStart  # noqa: PLC0415

    tell = partial(say, err=as_json)

    def on_ready(url: str) -> None:
        # In a thread of its own: looking after the parts must not wait for answers.
        threading.Thread(target=greet, args=(settings, url, sample, as_json), daemon=True).start()

    try:
        with prepare(settings, tell, on_ready) as service:
            for number in (signal.SIGINT, signal.SIGTERM, signal.SIGHUP):
                signal.signal(number, lambda *_: service.supervisor.request_stop())
            tell("lstmq", f"starting on {service.url}, data in {settings.data_dir}")
            service.supervisor.run()
    except Occupied as error:
        fail(str(error), Exit.OCCUPIED)
    except (CannotStart, SQLAlchemyError, WorkerError, OSError) as error:
        fail(str(error), Exit.FAILED)
    except ValueError as error:
        fail(str(error), Exit.WRONG_USE)
    tell("lstmq", "stopped")


def greet(settings: Settings, url: str, sample: bool, as_json: bool) -> None:
    """Say where the service is and what is missing; submit the sample where there is no job."""
    missing = ""
    with Client(url, next(iter(settings.api_keys.values()), "")) as client:
        try:
            if missing := client.readiness():
                say("lstmq", f"not ready: {missing}", err=as_json)
            if sample and not client.newest("jobs", limit=1):
                submit_sample(client)
        except ApiError as error:
            missing = str(error)
            say("lstmq", missing, err=as_json)
    if as_json:
        data_dir = str(settings.data_dir)
        print_json({"url": url, "data_dir": data_dir, "process": os.getpid(), "missing": missing})
        return
    say("lstmq", f"ready on {url}    (Ctrl-C stops it)")


@click.command()
@click.option("--data-dir", type=click.Path(path_type=Path), default=Path("var/demo"))
def demo(data_dir: Path) -> None:
    """Train the bundled samples on a service of its own and ask them."""
    from web.demo import run_demo  # noqa: PLC0415 - only this command needs it

    sys.exit(run_demo(data_dir))


def submit_sample(client: Client) -> Json:
    """Submit a training of the tutorial's lines."""
    dataset = client.upload(SAMPLES / "tutorial.txt", "tutorial")
    return client.train(dataset["id"], name="tutorial", config={"preset": "tutorial"})
