"""The commands that use a service: over real HTTP, against the real application (no workers)."""

import json
import stat
import subprocess
import sys
from pathlib import Path

from flask import Flask

from tests.commands.running import lstmq
from web.client import Client
from web.commands.wording import facts_of, join
from web.lock import running_url
from worker import keys

ROOT = Path(__file__).parents[2]


def test_train_submits_and_jobs_lists(url: str, text: Path) -> None:
    result = lstmq("train", str(text), "--preset", "tutorial", "--no-wait", "--url", url)
    assert result.exit_code == 0, result.output
    with Client(url) as client:
        (job,) = client.newest("jobs")
    assert result.stdout.strip() == job["id"]
    assert (job["name"], job["config"]["preset"]) == ("lesson", "tutorial")
    listed = lstmq("jobs", LSTMQ_URL=url, COLUMNS="200")
    assert listed.exit_code == 0
    assert job["id"] in listed.output
    assert lstmq("models", "--url", url).exit_code == 0


def test_what_the_server_refuses_is_told(url: str, text: Path) -> None:
    text.write_text(" \n")
    result = lstmq("train", str(text), "--url", url)
    assert result.exit_code == 2
    assert "Traceback" not in result.output
    missing = lstmq("predict", "nobody", "hello", "--url", url)
    assert missing.exit_code == 4
    assert "nobody" in missing.output


def test_without_a_server_the_message_says_how_to_start_one(tmp_path: Path) -> None:
    result = lstmq("jobs", "--url", "http://127.0.0.1:9", LSTMQ_DATA_DIR=str(tmp_path))
    assert result.exit_code == 3
    assert "lstmq up" in result.output
    assert running_url(tmp_path) is None


def test_wrong_use_is_exit_code_2(tmp_path: Path) -> None:
    assert lstmq("train", str(tmp_path / "nothing.txt")).exit_code == 2
    assert lstmq("up", "--port", "70000").exit_code == 2
    deep = tmp_path / ("deep" * 30)
    too_long = lstmq("up", "--port", "0", "--data-dir", str(deep))
    assert too_long.exit_code == 2
    assert "socket path" in too_long.output


def test_the_command_line_starts_without_torch_and_without_the_service() -> None:
    code = (
        "import sys; from click import Context; from web.cli import PLACES, main\n"
        "for name in PLACES: main.get_command(Context(main), name)\n"
        "print(sorted({'torch', 'celery', 'flask', 'sqlalchemy'} & set(sys.modules)))"
    )
    run = subprocess.run(
        [sys.executable, "-c", code], capture_output=True, text=True, check=True, cwd=ROOT
    )
    assert run.stdout.strip() == "[]"


def test_the_first_key_is_made_before_there_is_a_service(tmp_path: Path) -> None:
    folder = ("--data-dir", str(tmp_path / "new"))
    made = lstmq("keys", "create", "root", "--role", "admin", "--json", *folder)
    assert made.exit_code == 0, made.output
    key = json.loads(made.output)
    assert (key["owner"], key["role"], key["usable"]) == ("root", "admin", True)
    shown = lstmq("keys", "create", "ann", "--days", "7", *folder)
    assert shown.stdout.startswith("lm_")
    assert len(shown.stdout.split()) == 1  # for a script: nothing but the key
    assert "Shown once" in shown.stderr
    listed = lstmq("keys", "list", *folder, COLUMNS="200")
    assert key["id"] in listed.output
    assert key["key"] not in listed.output
    assert lstmq("keys", "revoke", key["id"], *folder).exit_code == 0
    assert lstmq("keys", "revoke", "key-nothing", *folder).exit_code == 4
    assert lstmq("keys", "create", "a:b", *folder).exit_code == 2
    log = json.loads(lstmq("audit", "--json", *folder).output)
    assert [entry["action"] for entry in log["data"]].count("lstmq keys create") == 2
    assert {entry["target"] for entry in log["data"]} >= {key["id"]}


def test_an_admin_manages_keys_of_another_service(url: str, app: Flask) -> None:
    backend = app.extensions["lstmq"]
    _, token = keys.create(backend, owner="root", role="admin")
    made = lstmq("keys", "create", "ann", "--json", "--url", url, LSTMQ_API_KEY=token)
    assert made.exit_code == 0, made.output
    key = json.loads(made.output)
    listed = lstmq("keys", "list", "--url", url, LSTMQ_API_KEY=token, COLUMNS="200")
    assert key["id"] in listed.output
    ended = lstmq("keys", "revoke", key["id"], "--url", url, LSTMQ_API_KEY=token)
    assert ended.exit_code == 0, ended.output
    log = lstmq("audit", "--owner", "root", "--url", url, "--json", LSTMQ_API_KEY=token)
    assert {entry["owner"] for entry in json.loads(log.output)["data"]} == {"root"}
    refused = lstmq("audit", "--url", url, LSTMQ_API_KEY=key["key"])
    assert refused.exit_code == 5
    assert "LSTMQ_API_KEY" in refused.output


def test_a_completion_is_joined_to_its_prompt_by_one_space() -> None:
    assert join("what is", "india") == " india"
    assert join("what is", " india") == " india"
    assert join("what is ", "india") == "india"
    assert join("", "india") == "india"


def test_a_job_is_told_in_few_words() -> None:
    queued = {"state": "queued", "metrics": {}, "progress": {}, "queue_position": 2}
    assert facts_of(queued) == "queued, number 2 in the queue"
    running = {
        "state": "running",
        "metrics": {"train_loss": 1.5},
        "progress": {"eta_seconds": 7.2},
    }
    assert facts_of(running) == "running, loss 1.500, 7 s left"


def test_secrets_are_made_once_and_kept_private(tmp_path: Path) -> None:
    file = tmp_path / ".env"
    command = [sys.executable, "-I", str(ROOT / "web" / "env_file.py"), str(file)]
    first = subprocess.run(command, capture_output=True, text=True, check=True)
    content = file.read_text()
    values = dict(line.split("=", 1) for line in content.splitlines() if line[0] != "#")
    owner, _, key = values["LSTMQ_API_KEYS"].partition(":")
    assert stat.S_IMODE(file.stat().st_mode) == 0o600
    assert owner == "admin"
    assert key in first.stdout
    assert values["REDIS_PASSWORD"] not in first.stdout
    again = subprocess.run(command, capture_output=True, text=True, check=False)
    assert again.returncode == 1
    assert key not in again.stdout + again.stderr
    assert file.read_text() == content
    assert list(tmp_path.iterdir()) == [file]
