"""docs/cli.md, executed: every command against a real service, and what is said to come out."""

import json
import re
import shlex
import shutil
import tempfile
from collections.abc import Iterator
from pathlib import Path

import click
import pytest

from tests.commands.running import lstmq
from tests.processes import eventually
from tests.test_up import Service
from web.cli import PLACES, main

PAGE = (Path(__file__).parents[2] / "docs" / "cli.md").read_text()
BLOCK = re.compile(r"^```(console|text)\n(.*?)^```$", re.MULTILINE | re.DOTALL)


@pytest.fixture
def service() -> Iterator[str]:
    """The address of a service with everything, as `lstmq up --json` tells it."""
    folder = Path(tempfile.mkdtemp(prefix="lstmq-"))  # short enough for a socket
    with Service(folder / "var", "--port", "0", "--json") as running:
        eventually(lambda: '{"url"' in running.said() or running.process.poll() is not None)
        (line,) = re.findall(r'^\{"url".*\}$', running.said(), re.MULTILINE)
        told = json.loads(line)
        assert (told["process"], told["missing"]) == (running.process.pid, "")
        yield told["url"]
        running.stop()
    shutil.rmtree(folder)


def examples(block: str) -> Iterator[tuple[str, str]]:
    """Each command of a block with the output that is shown for it."""
    for part in re.split(r"^\$ ", block, flags=re.MULTILINE)[1:]:
        command, _, shown = part.partition("\n")
        yield command, shown


def pattern(shown: str) -> str:
    """A regular expression for an output in which `…` leaves something out."""
    return ".*".join(re.escape(piece) for piece in shown.split("…"))


def test_every_example_of_the_page_does_what_it_says(
    service: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("LSTMQ_URL", service)
    for kind, block in BLOCK.findall(PAGE):
        if kind == "text":
            (tmp_path / "lesson.txt").write_text(block)
            continue
        for command, shown in examples(block):
            program, *words = shlex.split(command)
            assert program == "lstmq"
            given = None
            if "<" in words:
                at = words.index("<")
                given = Path(words[at + 1]).read_bytes()
                del words[at:]
            result = lstmq(*words, given=given)
            assert result.exit_code == 0, f"{command}\n{result.output}"
            assert re.fullmatch(pattern(shown), result.stdout, re.DOTALL), (
                f"{command}\n{result.output}"
            )
    pulled, copy = (
        {file.name: file.read_bytes() for file in (tmp_path / folder).iterdir()}
        for folder in ("lesson", "copy")
    )
    assert len(pulled) == 4
    assert pulled == copy
    answers = [json.loads(line) for line in (tmp_path / "answers.jsonl").read_text().splitlines()]
    assert [answer["completions"][0]["text"] for answer in answers] == ["jay", "five", "india"]


def test_the_page_speaks_of_every_command_and_no_other() -> None:
    spoken = set(re.findall(r"`?lstmq ([a-z]+)\b", PAGE))
    assert spoken == set(PLACES)


def commands(group: click.Group, *before: str) -> Iterator[tuple[tuple[str, ...], click.Command]]:
    context = click.Context(group)
    for name in group.list_commands(context):
        command = group.get_command(context, name)
        assert command is not None
        if isinstance(command, click.Group):
            yield from commands(command, *before, name)
        else:
            yield (*before, name), command


@pytest.mark.parametrize(("words", "command"), list(commands(main)), ids=str)
def test_every_command_explains_itself_and_can_speak_json(
    words: tuple[str, ...], command: click.Command
) -> None:
    assert lstmq(*words, "--help").exit_code == 0
    assert len(command.get_short_help_str(200)) < 70  # a line of the list of commands
    if words != ("demo",):  # a show for people
        assert "as_json" in {parameter.name for parameter in command.params}
