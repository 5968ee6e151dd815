"""The command `lstmq`: run the service, and use one over its HTTP API."""

import sys

import click

from web.commands.datasets import datasets, upload
from web.commands.jobs import cancel, job, jobs
from web.commands.keys import audit, keys
from web.commands.models import model, models
from web.commands.prediction import batch, next_tokens, predict
from web.commands.records import backup, restore, verify
from web.commands.scoring import evaluate, score
from web.commands.service import demo, up
from web.commands.status import status
from web.commands.sweeping import sweep, sweeps
from web.commands.training import train
from web.commands.transport import pull, push

COMMANDS = {
    "The service": (up, status, demo),
    "Train": (train, sweep, sweeps, upload, datasets),
    "Ask": (predict, next_tokens, score, batch, evaluate),
    "What there is": (jobs, job, cancel, models, model, pull, push),
    "Look after it": (keys, audit, verify, backup, restore),
}


class Sections(click.Group):
    """A group whose help lists the commands by what they are for."""

    def format_commands(self, _ctx: click.Context, formatter: click.HelpFormatter) -> None:
        """Write a heading and its commands, one after another."""
        for title, members in COMMANDS.items():
            with formatter.section(title):
                width = formatter.width
                rows = [(each.name or "", each.get_short_help_str(width)) for each in members]
                formatter.write_dl(rows, col_max=12)


@click.group(
    cls=Sections,
    context_settings={"help_option_names": ["-h", "--help"], "max_content_width": 100},
    epilog="Exit codes: 0 done; 1 it failed; 2 wrong use, settings or input; 3 no service answers; "
    "4 not found; 5 not allowed; 6 not now, try again later; 7 folder or port taken; "
    "130 interrupted.",
)
@click.version_option(package_name="lstmq")
def main() -> None:
    """LSTM language models, trained and served from a queue.

    Commands that use a service take the one that runs on this folder's `var`, or the one named by
    --url or LSTMQ_URL, with the key in LSTMQ_API_KEY where keys are needed.
    """
    for stream in (sys.stdout, sys.stderr):
        # What a terminal's encoding cannot say is escaped, not an error.
        stream.reconfigure(errors="backslashreplace")  # type: ignore[union-attr]


for group in COMMANDS.values():
    for command in group:
        main.add_command(command)

if __name__ == "__main__":
    main()
