"""The supervisor on small real processes: what dies comes back, what is stopped is gone."""

import os
import signal
import socket
import subprocess
import sys
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest

from tests.processes import MARK, PATIENCE_SECONDS, eventually, marked
from web.installation import listening
from web.lock import Occupied
from web.parts import Part
from web.supervisor import STOP_FIRST_SECONDS, STOP_SECONDS, CannotStart, Supervisor

PROMISED_STOP_SECONDS = 5.0
BUSY_MACHINE_SECONDS = 5.0
# A parent that will not stop when asked, with a child that will not either.
STUBBORN = (
    "import signal, subprocess, sys, time\n"
    "signal.signal(signal.SIGTERM, signal.SIG_IGN)\n"
    "if len(sys.argv) == 1:\n"
    "    subprocess.Popen([sys.executable, __file__, 'child'])\n"
    "print('up', flush=True)\n"
    "time.sleep(1000)\n"
)


def is_up(_pid: int) -> bool:
    return True


def python_part(name: str, code: str, **more: object) -> Part:
    return Part(name=name, command=(sys.executable, "-c", code), is_ready=is_up, **more)


@contextmanager
def running(supervisor: Supervisor) -> Iterator[list[BaseException]]:
    """Runs it in a thread; what it raised is in the list after the end."""
    raised: list[BaseException] = []

    def run() -> None:
        try:
            supervisor.run()
        except CannotStart as error:
            raised.append(error)

    thread = threading.Thread(target=run)
    thread.start()
    try:
        yield raised
    finally:
        supervisor.request_stop()
        thread.join()


def test_a_part_that_dies_is_started_again() -> None:
    said: list[tuple[str, str]] = []
    part = python_part("echo", "print('hello', flush=True); import time; time.sleep(1000)")
    ready = threading.Event()
    supervisor = Supervisor([part], lambda *line: said.append(line), ready.set, first_pause=0.1)
    with running(supervisor):
        assert ready.wait(PATIENCE_SECONDS)
        for starts in (1, 2, 3):
            process = pid_of_start(starts, said)
            eventually(lambda starts=starts: said.count(("echo", "hello")) == starts)
            if starts < 3:
                os.kill(process, signal.SIGKILL)
    assert said.count(("echo", "hello")) == 3
    assert sum("ended (SIGKILL)" in line for _, line in said) == 2


def pid_of_start(number: int, said: list[tuple[str, str]]) -> int:
    """The process id a part had at its `number`-th start, once it is ready."""
    ready: list[str] = []

    def is_ready() -> bool:
        ready[:] = [line for _, line in said if "ready after" in line]
        return len(ready) >= number

    eventually(is_ready)
    return int(ready[number - 1].rpartition("process ")[2].rstrip(")"))


def test_a_part_that_never_comes_up_stops_everything_with_its_last_words() -> None:
    steady = python_part("steady", "import time; time.sleep(1000)", environment={MARK: "never-up"})
    broken = Part(
        name="broken",
        command=(sys.executable, "-c", "print('no such colour'); raise SystemExit(7)"),
        is_ready=lambda _pid: False,
    )
    supervisor = Supervisor([steady, broken], lambda *_: None, first_pause=0.01)
    with pytest.raises(CannotStart, match=r"broken cannot start.*exit code 7[\s\S]*no such colour"):
        supervisor.run()
    assert not marked("never-up")


def test_a_part_that_was_up_once_is_never_given_up() -> None:
    said: list[str] = []
    part = python_part("weak", "import time; time.sleep(0.2)")
    supervisor = Supervisor([part], lambda _, line: said.append(line), first_pause=0.001)
    with running(supervisor) as raised:
        eventually(lambda: sum("ended" in line for line in said) > 6)
    assert raised == []


def test_the_others_wait_for_the_first(tmp_path: Path) -> None:
    order: list[str] = []
    gate = tmp_path / "gate"
    first = Part(
        name="first",
        command=(sys.executable, "-c", "import time; time.sleep(1000)"),
        is_ready=lambda _pid: gate.exists(),
        first=True,
    )
    second = python_part("second", "import time; time.sleep(1000)")
    ready = threading.Event()
    supervisor = Supervisor([second, first], lambda name, _: order.append(name), ready.set)
    with running(supervisor):
        time.sleep(0.5)
        assert order == []
        gate.touch()
        assert ready.wait(PATIENCE_SECONDS)
    assert order[:2] == ["first", "second"]


def test_stopping_ends_children_of_children_that_refuse(tmp_path: Path) -> None:
    script = tmp_path / "stubborn.py"
    script.write_text(STUBBORN)
    part = Part(
        name="stubborn",
        command=(sys.executable, str(script)),
        is_ready=is_up,
        environment={MARK: "stubborn"},
    )
    with running(Supervisor([part], lambda *_: None)):
        eventually(lambda: len(marked("stubborn")) == 2)
        began = time.monotonic()
    assert STOP_SECONDS + STOP_FIRST_SECONDS < PROMISED_STOP_SECONDS
    assert time.monotonic() - began < PROMISED_STOP_SECONDS + BUSY_MACHINE_SECONDS
    assert not marked("stubborn")


def test_killing_the_supervisor_itself_leaves_nothing(tmp_path: Path) -> None:
    script = tmp_path / "stubborn.py"
    script.write_text(STUBBORN)
    code = (
        "import sys\nfrom web.parts import Part\nfrom web.supervisor import Supervisor\n"
        "part = Part('stubborn', (sys.executable, sys.argv[1]), lambda pid: True)\n"
        "Supervisor([part], lambda *line: print(*line, flush=True)).run()\n"
    )
    process = subprocess.Popen(
        [sys.executable, "-c", code, str(script)],
        env={**os.environ, MARK: "orphans"},
        stdout=subprocess.DEVNULL,
    )
    eventually(lambda: len(marked("orphans")) == 4)  # itself, its warden, the part and its child
    process.kill()
    process.wait()
    eventually(lambda: not marked("orphans"))


def test_a_taken_port_is_told() -> None:
    with (
        socket.create_server(("127.0.0.1", 0)) as holder,
        pytest.raises(Occupied, match="--port"),
        listening("127.0.0.1", holder.getsockname()[1]),
    ):
        pass
