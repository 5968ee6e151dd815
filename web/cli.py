"""The command `lstmq`: run the service, and use one over its HTTP API."""

import importlib
import sys

import click

# Where each command is, by what it is for. Only the one that is run is loaded.
COMMANDS = {
    "The service": {"up": "service.up", "status": "status.status", "demo": "service.demo"},
    "Train": {
        "train": "training.train",
        "sweep": "sweeping.sweep",
        "sweeps": "sweeping.sweeps",
        "upload": "datasets.upload",
        "datasets": "datasets.datasets",
    },
    "Ask": {
        "predict": "prediction.predict",
        "next": "prediction.next_tokens",
        "score": "scoring.score",
        "batch": "prediction.batch",
        "evaluate": "scoring.evaluate",
    },
    "What there is": {
        "jobs": "jobs.jobs",
        "job": "jobs.job",
        "cancel": "jobs.cancel",
        "models": "models.models",
        "model": "models.model",
        "pull": "transport.pull",
        "push": "transport.push",
    },
    "Look after it": {
        "keys": "keys.keys",
        "audit": "keys.audit",
        "verify": "records.verify",
        "backup": "records.backup",
        "restore": "records.restore",
    },
}
PLACES = {name: place for section in COMMANDS.values() for name, place in section.items()}


class Commands(click.Group):
    """All commands; loaded when they are asked for, listed by what they are for."""

    def list_commands(self, _ctx: click.Context) -> list[str]:
        """Their names, in the order of the list."""
        return list(PLACES)

    def get_command(self, _ctx: click.Context, name: str) -> click.Command | None:
        """One of them; None when there is no such command."""
        if name not in PLACES:
            return None
        module, _, attribute = PLACES[name].partition(".")
        command: click.Command = getattr(
            importlib.import_module(f"web.commands.{module}"), attribute
        )
        return command

    def format_commands(self, ctx: click.Context, formatter: click.HelpFormatter) -> None:
        """Write a heading and its commands, one after another."""
        for title, names in COMMANDS.items():
            found = [self.get_command(ctx, name) for name in names]
            with formatter.section(title):
                formatter.write_dl(
                    [
                        (each.name or "", each.get_short_help_str(formatter.width))
                        for each in found
                        if each
                    ]
                )


@click.group(
    cls=Commands,
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


if __name__ == "__main__":
    main()
