"""Running commands in this process, as a person would type them."""

from click.testing import CliRunner, Result

from web.cli import main


def lstmq(*arguments: str, given: str | bytes | None = None, **environment: str | None) -> Result:
    """What a command does with these arguments, this standard input and this environment."""
    return CliRunner().invoke(main, list(arguments), input=given, env=environment)


def done(*arguments: str, given: str | bytes | None = None, **environment: str | None) -> str:
    """The standard output of a command that succeeds."""
    result = lstmq(*arguments, given=given, **environment)
    assert result.exit_code == 0, result.output
    return result.stdout
