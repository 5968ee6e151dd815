"""What the command line says, and where: results on standard output, the rest on standard error."""

import signal
import sys
import time
from collections.abc import Iterator
from contextlib import contextmanager
from typing import TextIO

DONE, FAILED, WRONG_USE, INTERRUPTED = 0, 1, 2, 130
SHOWN_SECONDS = 0.2  # between two states of the progress line
CLEAR = "\r\x1b[K"


def out(line: str) -> None:
    """A line that was asked for."""
    sys.stdout.write(f"{line}\n")


def say(line: str) -> None:
    """A line that tells how it goes."""
    sys.stderr.write(f"{line}\n")


def fail(message: str, code: int) -> int:
    """Say what went wrong; return the exit code."""
    say(f"lstmcore: {message}")
    return code


class ProgressLine:
    """One line of a terminal that changes; nothing where the output is no terminal."""

    def __init__(self, stream: TextIO) -> None:
        """Show it on `stream`, if anybody can see it change."""
        self._stream, self._visible = stream, stream.isatty()
        self._shown = 0.0

    def show(self, text: str) -> None:
        """Replace the line, a few times a second at most."""
        now = time.monotonic()
        if self._visible and now - self._shown >= SHOWN_SECONDS:
            self._stream.write(f"{CLEAR}{text}")
            self._stream.flush()
            self._shown = now

    def clear(self) -> None:
        """Make room for another line."""
        if self._visible and self._shown:
            self._stream.write(CLEAR)
            self._stream.flush()
            self._shown = 0.0


@contextmanager
def interrupts() -> Iterator[list[int]]:
    """A list that is empty until Ctrl-C is pressed; pressed again, it interrupts as usual."""
    pressed: list[int] = []

    def note(number: int, _: object) -> None:
        pressed.append(number)
        signal.signal(signal.SIGINT, signal.default_int_handler)

    before = signal.signal(signal.SIGINT, note)
    try:
        yield pressed
    finally:
        signal.signal(signal.SIGINT, before)
