"""`lstmq demo`: the whole way once, visibly, on a service of its own.

Text goes in over HTTP, a worker trains, the models answer, and everything is stopped again. The
exit code says whether the answers were right.
"""

import contextlib
import tempfile
import threading
import time
from collections.abc import Iterator, Mapping
from pathlib import Path

from rich.console import Console
from rich.progress import BarColumn, Progress, TextColumn, TimeElapsedColumn

from web.client import FINAL, POLL_SECONDS, ApiError, Client, Json
from web.installation import prepare
from web.lock import Occupied
from web.supervisor import CannotStart
from worker.settings import Settings

SAMPLES = Path(__file__).with_name("samples")
START_SECONDS = 60.0
PROMPT, ANSWER = "what is capital of", "india"
QUESTIONS = 20
SHARE_RIGHT = 0.8
GREEDY = {"temperature": 0}
LONGEST_ANSWER_TOKENS = 8
SAMPLE_TOKENS = 24


class DemoFailure(Exception):
    """Something did not go as promised; the message says what."""


def run_demo(data_dir: Path) -> int:
    """Run the demo in this folder; 0 when every promise was kept."""
    console, begun = Console(highlight=False), time.monotonic()
    try:
        settings = _settings(data_dir)
        with _running(settings, console) as url, Client(url) as client:
            jobs = _train(client, console)
            _ask_tutorial(client, jobs["tutorial"], console)
            _ask_facts(client, jobs["facts"], console)
            _show_files(settings, jobs, console)
    except (DemoFailure, ApiError, Occupied, CannotStart, ValueError) as error:
        console.print(f"[bold red]The demo failed:[/] {error}", soft_wrap=True)
        return 1
    console.print(f"\n[bold green]Done[/] in {time.monotonic() - begun:.0f} s; all stopped.")
    console.print("Now try it with your own text: [bold]make run[/]")
    return 0


def _settings(data_dir: Path) -> Settings:
    """Defaults on a free port, whatever the environment says about another installation."""
    defaults = {name: field.get_default() for name, field in Settings.model_fields.items()}
    plain = defaults | {"data_dir": data_dir, "port": 0, "api_keys": {}}
    settings = Settings.model_validate(plain)
    with contextlib.suppress(ValueError):
        settings.check_socket_path()
        return settings
    # This checkout lies too deep for a socket.
    return Settings.model_validate(plain | {"data_dir": tempfile.mkdtemp(prefix="lstmq-demo-")})


@contextlib.contextmanager
def _running(settings: Settings, console: Console) -> Iterator[str]:
    """A service on these settings, from ready to stopped."""
    ready, failures = threading.Event(), []

    def say(name: str, line: str) -> None:
        console.print(f"[dim]{name:<10}[/]", end=" ")
        console.out(line, highlight=False)

    with prepare(settings, say, on_ready=lambda _url: ready.set()) as service:

        def run() -> None:
            try:
                service.supervisor.run()
            except CannotStart as error:
                failures.append(error)

        console.print("[bold]Starting[/] queue, web server, workers and sweeper")
        thread = threading.Thread(target=run)
        thread.start()
        try:
            deadline = time.monotonic() + START_SECONDS
            while not ready.wait(0.1) and thread.is_alive():
                if time.monotonic() > deadline:
                    raise DemoFailure(f"not everything was up after {START_SECONDS:.0f} s")
            if failures:
                raise failures[0]
            yield service.url
        finally:
            service.supervisor.request_stop()
            thread.join()


def _train(client: Client, console: Console) -> dict[str, Json]:
    """Submit both samples, show how they learn, and return the finished jobs by name."""
    console.print(f"\n[bold]Training[/] two models through {client.url}/api/v1")
    jobs = {}
    for name, config in (("tutorial", {"preset": "tutorial"}), ("facts", {"preset": "word"})):
        dataset = client.upload(SAMPLES / f"{name}.txt", name)
        jobs[name] = client.train(dataset["id"], name=name, config=config)
    columns = (
        TextColumn("  {task.description:<10}"),
        BarColumn(30),
        TextColumn("{task.percentage:>3.0f} %  {task.fields[facts]}"),
        TimeElapsedColumn(),
    )
    with Progress(*columns, console=console) as progress:
        bars = {name: progress.add_task(name, total=1.0, facts="") for name in jobs}
        while any(job["state"] not in FINAL for job in jobs.values()):
            time.sleep(POLL_SECONDS)
            for name, job in jobs.items():
                if job["state"] not in FINAL:
                    jobs[name] = client.job(job["id"])
                    progress.update(bars[name], **_shown(jobs[name]))
    for name, job in jobs.items():
        if job["state"] != "succeeded":
            raise DemoFailure(f"the training of {name} {job['state']}: {job['error']}")
    return jobs


def _shown(job: Json) -> Json:
    loss = job["metrics"].get("train_loss")
    facts = job["state"] if loss is None else f"{job['state']}, loss {loss:.3f}"
    done = 1.0 if job["state"] in FINAL else job["progress"]["fraction"]
    return {"completed": done, "facts": facts}


def _ask_tutorial(client: Client, job: Json, console: Console) -> None:
    result = client.predict(job["result"]["model"], [PROMPT], GREEDY | {"max_tokens": 1})[0]
    got = result["completions"][0]["text"].strip()
    best = result["next_tokens"][0]
    console.print("\n[bold]Asking[/] the tutorial's model for the next word")
    console.print(f"  {_mark(got == ANSWER)} {PROMPT} → {got} ({best['probability']:.0%})")
    if got != ANSWER:
        raise DemoFailure(f"“{PROMPT}” should be followed by “{ANSWER}”, not by “{got}”")


def _ask_facts(client: Client, job: Json, console: Console) -> None:
    expected = _questions()
    sampling = GREEDY | {"max_tokens": LONGEST_ANSWER_TOKENS}
    results = client.predict(job["result"]["model"], list(expected), sampling)
    console.print(f"\n[bold]Asking[/] the facts' model {len(expected)} of its questions")
    right = 0
    for (prompt, answer), result in zip(expected.items(), results, strict=True):
        got = result["completions"][0]["text"].strip()
        right += got == answer
        wanted = "" if got == answer else f" (expected: {answer})"
        console.print(f"  {_mark(got == answer)} {prompt} → {got}{wanted}", soft_wrap=True)
    console.print(f"  [bold]{right}/{len(expected)}[/] right")
    free = {"max_tokens": SAMPLE_TOKENS, "temperature": 0.8, "seed": 1}
    made_up = client.predict(job["result"]["model"], ["what is the opposite of nepal"], free)[0]
    console.print(
        "  and one nobody taught it: what is the opposite of nepal → "
        + made_up["completions"][0]["text"].strip()
    )
    if right < SHARE_RIGHT * len(expected):
        raise DemoFailure(f"only {right} of {len(expected)} facts were learned")


def _questions() -> Mapping[str, str]:
    """Questions spread over the whole file, with their answers."""
    lines = (SAMPLES / "facts.txt").read_text(encoding="utf-8").splitlines()
    chosen = lines[:: len(lines) // QUESTIONS][:QUESTIONS]
    pairs = (line.partition(" : ") for line in chosen)
    return {prompt: answer for prompt, _, answer in pairs}


def _show_files(settings: Settings, jobs: Mapping[str, Json], console: Console) -> None:
    console.print("\n[bold]Files[/]")
    for name, job in jobs.items():
        # A job writes a folder for each better model it finds; the newest is the one that counts.
        folders = (settings.data_dir / "store" / "models" / job["id"]).iterdir()
        newest = max(folders, key=lambda folder: folder.stat().st_mtime)
        console.print(f"  {name:<10} {newest}", soft_wrap=True)
    console.print(f"  {'records':<10} {settings.data_dir / 'lstmq.sqlite'}", soft_wrap=True)


def _mark(right: bool) -> str:
    return "[green]✓[/]" if right else "[red]✗[/]"
