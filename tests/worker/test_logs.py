"""Log lines: for people and for machines, with what they are about."""

import json
import os
import subprocess
import sys

SCRIPT = """
import logging, threading
from worker import logs
logs.configure("worker")
log = logging.getLogger("worker.tasks")
with logs.about(job="job-1", request=None):
    logs.name(ask="ask-1")
    log.info("said %s", "hello", extra={"seconds": 1.5})
    secret = "what somebody wrote"
    try:
        {}["key"]
    except KeyError:
        log.exception("it failed")
log.warning("after <b>it</b>\\nand on")
log.debug("never")
logging.getLogger("celery.worker").info("never")
"""


def lines(**settings: str) -> list[str]:
    """What a process with these settings writes."""
    environment = os.environ | {f"LSTMQ_{name}": value for name, value in settings.items()}
    done = subprocess.run(
        [sys.executable, "-c", SCRIPT], env=environment, capture_output=True, text=True, check=True
    )
    assert done.stdout == ""
    assert "never" not in done.stderr
    return done.stderr.splitlines()


def test_a_machine_reads_json_with_the_names_of_what_it_is_about() -> None:
    written = [json.loads(line) for line in lines(LOG_FORMAT="json", LOG_LEVEL="info")]
    hello, failed, after = written
    assert hello["event"] == "said hello"
    assert (hello["job"], hello["ask"], hello["seconds"]) == ("job-1", "ask-1", 1.5)
    assert "request" not in hello
    assert failed["level"] == "error"
    assert "KeyError: 'key'" in failed["exception"]
    assert "what somebody wrote" not in json.dumps(failed)
    assert after["event"] == "after <b>it</b>\nand on"
    assert "job" not in after
    for line in written:
        assert line["at"].endswith("Z")
        assert line["part"] == "worker"
        assert line["host"]


def test_a_person_reads_text_and_by_default_only_what_matters() -> None:
    first, *rest = lines(LOG_FORMAT="text", LOG_LEVEL="warning")
    assert first == "ERROR worker.tasks: it failed (ask=ask-1 job=job-1)"
    assert rest[0] == "Traceback (most recent call last):"
    assert rest[-2:] == ["WARNING worker.tasks: after <b>it</b>", "and on"]
