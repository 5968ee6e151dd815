"""Options that many commands share."""

from collections.abc import Callable
from pathlib import Path

import click


def _check_url(_context: click.Context, _parameter: click.Parameter, value: str | None) -> str:
    url = value or ""
    if url and not url.startswith(("http://", "https://")):
        raise click.BadParameter("give an address such as http://127.0.0.1:8000")
    return url


data_dir_option = click.option(
    "--data-dir",
    type=click.Path(path_type=Path),
    help="Folder of all that is kept (LSTMQ_DATA_DIR).",
)
url_option = click.option(
    "--url",
    envvar="LSTMQ_URL",
    metavar="URL",
    callback=_check_url,
    help="Service to ask (LSTMQ_URL); else the one running here, else port 8000.",
)
remote_option = click.option(
    "--url",
    callback=_check_url,
    metavar="URL",
    help="A service to ask as an admin; else the records here.",
)
json_option = click.option("--json", "as_json", is_flag=True, help="Print JSON, nothing else.")
MOST_LISTED = 10_000


def page_options(command: Callable[..., None]) -> Callable[..., None]:
    """What every list takes: a part of the name, how many, and where to go on."""
    for option in (
        click.option("--after", metavar="NEXT", help="Go on after a list whose `next` this is."),
        click.option(
            *("--limit", "-n"),
            type=click.IntRange(1, MOST_LISTED),
            default=20,
            show_default=True,
            help="At most so many.",
        ),
        click.option("--name", help="Only those whose name contains this."),
    ):
        command = option(command)
    return command


priority_option = click.option(
    "--priority",
    type=click.Choice(["low", "normal", "high"]),
    help="Before others of yours, or after.",
)
wait_option = click.option(
    "--wait/--no-wait", default=True, help="Follow it to its end (the default), or only submit it."
)
