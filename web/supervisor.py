"""Keeps the parts of a service running until it is told to stop.

A part that dies is started again after 1, 2, 4 … 30 seconds. Only a part that never came up stops
everything, with its last words as the reason. Stopping takes under five seconds and leaves no
process behind; if the supervisor itself is killed, the warden does it.
"""

import contextlib
import select
import socket
import subprocess
import sys
import time
from collections.abc import Callable, Sequence
from pathlib import Path

from web.child import Child
from web.parts import Part

TICK_SECONDS = 0.1
LONGEST_PAUSE_SECONDS = 30.0
STEADY_SECONDS = 60.0  # a part that ran so long starts again without a growing pause
EARLY_SECONDS = 10.0  # a death before this, without having been up, is a failed start
FAILED_STARTS = 5
STOP_SECONDS = 3.6  # for the parts, before they are killed
STOP_FIRST_SECONDS = 0.8  # for those the others depend on, afterwards
REMIND_SECONDS = 10.0

Say = Callable[[str, str], None]


class CannotStart(Exception):
    """A part ended again and again before it was ever up; the message says how."""


class _Watched:
    """A part with its history."""

    def __init__(self, part: Part) -> None:
        self.part = part
        self.child: Child | None = None
        self.was_up = False
        self.deaths = 0  # in a row
        self.start_at = 0.0  # monotonic

    @property
    def ready(self) -> bool:
        return self.child is not None and self.child.ready


class Supervisor:
    """Runs parts as child processes. `say(name, line)` shows their output and what happens to them.

    `on_ready` is called once, when all of them are up. `keep_open` are files the warden holds until
    the last process is gone. `first_pause` is the wait, in seconds, after a first death.
    """

    def __init__(
        self,
        parts: Sequence[Part],
        say: Say,
        on_ready: Callable[[], None] = lambda: None,
        keep_open: tuple[int, ...] = (),
        first_pause: float = 1.0,
    ) -> None:
        self._watched = [_Watched(part) for part in parts]
        self._say_unsafe = say
        self._on_ready = on_ready
        self._keep_open = keep_open
        self._first_pause = first_pause
        self._started = time.monotonic()
        self._announced = False
        self._remind_at = self._started + REMIND_SECONDS
        self._stop_asked = 0
        self._wake_reader, self._wake_writer = socket.socketpair()
        self._warden: subprocess.Popen[str] | None = None

    def run(self) -> None:
        """Start everything and look after it until `request_stop`; raise CannotStart."""
        self._started = time.monotonic()
        self._remind_at = self._started + REMIND_SECONDS
        self._start_warden()
        try:
            while not self._stop_asked:
                self._look_after()
                select.select([self._wake_reader], [], [], TICK_SECONDS)
        finally:
            self._stop_all()
            self._release_warden()
            self._wake_reader.close()
            self._wake_writer.close()

    def request_stop(self) -> None:
        """End `run`; asked twice, nobody is waited for. Safe in a signal handler and a thread."""
        self._stop_asked += 1
        with contextlib.suppress(OSError):  # it has ended already
            self._wake_writer.send(b"x")

    # -- looking after ----------------------------------------------------------------------------

    def _look_after(self) -> None:
        now = time.monotonic()
        first_are_up = all(watched.was_up for watched in self._watched if watched.part.first)
        for watched in self._watched:
            if watched.child is None:
                if now >= watched.start_at and (watched.part.first or first_are_up):
                    self._start(watched)
            elif (how := watched.child.ended()) is not None:
                self._bury(watched, watched.child, how)
            elif not watched.child.ready and watched.part.is_ready(watched.child.pid):
                watched.child.ready = watched.was_up = True
                self._say(
                    watched.part.name,
                    f"ready after {watched.child.age:.1f} s (process {watched.child.pid})",
                )
        self._announce(now)

    def _start(self, watched: _Watched) -> None:
        name = watched.part.name
        watched.child = Child(watched.part, lambda line: self._say(name, line))
        self._tell_warden("+", watched.child.pid)

    def _bury(self, watched: _Watched, child: Child, how: str) -> None:
        """Clear away a part that died and decide when it starts again."""
        child.end_group()
        self._tell_warden("-", child.pid)
        watched.child = None
        watched.deaths = 1 if child.age >= STEADY_SECONDS else watched.deaths + 1
        never_up = not watched.was_up and child.age < EARLY_SECONDS
        if never_up and watched.deaths >= FAILED_STARTS:
            words = "\n".join(f"    {line}" for line in child.last_lines) or "    (it said nothing)"
            raise CannotStart(
                f"{watched.part.name} cannot start: it ended {watched.deaths} times ({how}) "
                f"before it was up. Its last words:\n{words}"
            )
        pause = min(LONGEST_PAUSE_SECONDS, self._first_pause * 2.0 ** (watched.deaths - 1))
        watched.start_at = time.monotonic() + pause
        self._say(watched.part.name, f"ended ({how}); starting it again in {pause:.0f} s")

    def _announce(self, now: float) -> None:
        if self._announced:
            return
        missing = [watched.part.name for watched in self._watched if not watched.ready]
        if not missing:
            self._announced = True
            self._on_ready()
        elif now >= self._remind_at:
            self._remind_at = now + REMIND_SECONDS
            self._say("lstmq", f"still waiting for {', '.join(missing)}")

    # -- stopping ---------------------------------------------------------------------------------

    def _stop_all(self) -> None:
        children = [watched.child for watched in self._watched if watched.child is not None]
        self._stop([child for child in children if not child.part.first], STOP_SECONDS)
        self._stop([child for child in children if child.part.first], STOP_FIRST_SECONDS)

    def _stop(self, children: list[Child], seconds: float) -> None:
        for child in children:
            child.terminate()
        deadline = time.monotonic() + seconds
        while any(child.ended() is None for child in children):
            if time.monotonic() > deadline or self._stop_asked > 1:
                break
            time.sleep(0.02)
        for child in children:
            if child.ended() is None:
                self._say(child.part.name, "did not stop in time and is killed")
            child.end_group()
            self._tell_warden("-", child.pid)

    # -- the warden -------------------------------------------------------------------------------

    def _start_warden(self) -> None:
        # -I -S: nothing but the standard library, so it is there before the first part.
        command = [sys.executable, "-I", "-S", str(Path(__file__).with_name("warden.py"))]
        self._warden = subprocess.Popen(  # noqa: S603 - our own file
            command,
            stdin=subprocess.PIPE,
            stdout=subprocess.DEVNULL,
            text=True,
            start_new_session=True,
            pass_fds=self._keep_open,
        )

    def _tell_warden(self, change: str, pid: int) -> None:
        if self._warden is None or self._warden.stdin is None:
            return
        # Somebody killed the warden: the service runs on, only without this safety net.
        with contextlib.suppress(OSError):
            self._warden.stdin.write(f"{change}{pid}\n")
            self._warden.stdin.flush()

    def _release_warden(self) -> None:
        if self._warden is None or self._warden.stdin is None:
            return
        with contextlib.suppress(OSError):
            self._warden.stdin.close()
        self._warden.wait()

    def _say(self, name: str, line: str) -> None:
        # The terminal may be gone (SIGHUP, a closed pipe); that must not stop anybody.
        with contextlib.suppress(OSError, ValueError):
            self._say_unsafe(name, line)
