"""What a person does with OpenAI's client, from the first file to the last deletion.

Run by each version's own interpreter: `python session.py URL FOLDER`. It needs nothing but the
`openai` package, and works with its oldest version too; every line of it is a promise.
"""

import os
import sys
import time
from pathlib import Path

import openai
from openai import OpenAI

VERSION = tuple(int(part) for part in openai.__version__.split(".")[:2])
FACTS = [("india", "Delhi"), ("france", "Paris"), ("japan", "Tokyo"), ("kenya", "Nairobi")]
OWNER = os.environ.get("LSTMQ_OWNER", "local")
WITH_PAUSES = VERSION >= (1, 90)
WITH_METHODS = VERSION >= (1, 60)


def main(url: str, folder: Path) -> None:
    """Everything, in the order in which it is needed."""
    client = OpenAI(
        base_url=f"{url}/v1",
        api_key=os.environ.get("LSTMQ_API_KEY", "not-needed-here"),
        max_retries=1,
        timeout=60,
    )
    file = files(client, folder)
    model = training(client, file)
    chatting(client, folder)
    stopping(client, file)
    completing(client, model)
    streaming(client, model)
    pages(client)
    mistakes(client, model)
    assert client.models.delete(model).deleted
    refused(openai.NotFoundError, lambda: client.models.retrieve(model))
    assert client.files.delete(file).deleted
    print(f"openai {openai.__version__}: all good")  # noqa: T201


def files(client: OpenAI, folder: Path) -> str:
    """Upload, look, list, read back."""
    lines = [
        f'{{"prompt": "what is the capital of {country}", "completion": "{capital}"}}\n'
        for country, capital in FACTS
    ]
    path = folder / "facts.jsonl"
    path.write_text("".join(lines))
    with path.open("rb") as content:
        file = client.files.create(file=content, purpose="fine-tune")
    assert file.object == "file"
    assert (file.filename, file.purpose, file.status) == ("facts.jsonl", "fine-tune", "processed")
    assert abs(file.created_at - time.time()) < 600
    assert client.files.wait_for_processing(file.id).id == file.id
    assert file.id in [each.id for each in client.files.list(purpose="fine-tune")]
    assert client.files.content(file.id).text.count("\n") == len(FACTS)
    text = client.files.create(file=("plain.txt", b"once upon a time"), purpose="fine-tune")
    assert client.files.retrieve(text.id).filename == "plain.txt"
    assert client.files.delete(text.id).deleted
    return file.id


def training(client: OpenAI, file: str) -> str:
    """Train with old and new ways of saying how, follow it, and find its model."""
    settings = {"n_epochs": 120, "batch_size": 4, "learning_rate_multiplier": 1.5}
    named: dict = {"hyperparameters": settings}
    if WITH_METHODS:
        method = {"type": "supervised", "supervised": {"hyperparameters": settings}}
        named = {"method": method, "metadata": {"course": "geography"}}
    job = client.fine_tuning.jobs.create(
        model="lstm-word",
        training_file=file,
        suffix="capitals",
        seed=7,
        extra_body={"config": {"model": {"hidden_dim": 64, "embed_dim": 32}}},
        **named,
    )
    assert job.object == "fine_tuning.job"
    assert job.status in ("queued", "running")
    assert (job.hyperparameters.n_epochs, job.seed, job.training_file) == (120, 7, file)
    done = finished(client, job.id)
    assert done.status == "succeeded", done.error
    assert done.finished_at >= done.created_at
    assert done.fine_tuned_model.startswith("ft:lstm-word:")
    assert ":capitals" in done.fine_tuned_model
    told = list(client.fine_tuning.jobs.list_events(job.id, limit=2))
    assert len(told) > 2
    assert told[0].message == "The job is succeeded."  # the newest first
    assert told[-1].message == "The job is queued."
    measured = [event for event in told if event.type == "metrics"]
    assert measured[0].data["train_loss"] < measured[-1].data["train_loss"]
    checkpoints = list(client.fine_tuning.jobs.checkpoints.list(job.id))
    assert [each.fine_tuned_model_checkpoint for each in checkpoints] == [done.fine_tuned_model]
    assert client.models.retrieve(done.fine_tuned_model).owned_by == OWNER
    if WITH_METHODS:
        found = client.fine_tuning.jobs.list(metadata={"course": "geography"})
        assert job.id in [each.id for each in found]
        assert not list(client.fine_tuning.jobs.list(metadata={"course": "algebra"}))
    return done.fine_tuned_model


def chatting(client: OpenAI, folder: Path) -> None:
    """A model of conversations answers as one."""
    path = folder / "chat.jsonl"
    said = (
        '{"messages": [{"role": "user", "content": "%s"}, {"role": "assistant", "content": "%s"}]}'
    )
    path.write_text("\n".join(said % pair for pair in (("hello", "hi there"), ("bye", "see you"))))
    with path.open("rb") as content:
        file = client.files.create(file=content, purpose="fine-tune")
    job = client.fine_tuning.jobs.create(
        model="lstm-word", training_file=file.id, hyperparameters={"n_epochs": 150}
    )
    model = finished(client, job.id).fine_tuned_model
    asked: list = [
        {"role": "system", "content": "be kind"},
        {"role": "user", "content": "hello"},
        {"role": "assistant", "content": "hi there"},
        {"role": "user", "content": "bye"},
    ]
    answer = client.chat.completions.create(model=model, messages=asked, temperature=0)
    assert answer.choices[0].message.content == "see you"
    assert answer.choices[0].finish_reason == "stop"
    pieces = client.chat.completions.create(model=model, messages=asked, temperature=0, stream=True)
    said = "".join(piece.choices[0].delta.content or "" for piece in pieces)
    assert said.strip() == "see you"


def stopping(client: OpenAI, file: str) -> None:
    """Pause, go on, ask what it has so far, cancel, and keep what was learned."""
    job = client.fine_tuning.jobs.create(
        model="lstm-word",
        training_file=file,
        suffix="long",
        hyperparameters={"n_epochs": 100_000},
        extra_body={"config": {"training": {"patience": None, "validation_fraction": 0}}},
    )

    def becomes(status: str) -> None:  # at once, or on a busy machine after a while
        eventually(lambda: client.fine_tuning.jobs.retrieve(job.id).status == status)

    becomes("running")
    if WITH_PAUSES:
        assert client.fine_tuning.jobs.pause(job.id).status in ("running", "paused")
        becomes("paused")
        saved = client.fine_tuning.jobs.checkpoints.list(job.id).data[0]
        assert ":ckpt-step-" in saved.fine_tuned_model_checkpoint
        answer = client.completions.create(
            model=saved.fine_tuned_model_checkpoint, prompt="what is the capital of", max_tokens=1
        )
        assert answer.usage.prompt_tokens == 5  # what comes of it depends on when it was paused
        assert client.fine_tuning.jobs.resume(job.id).status in ("queued", "running")
        refused(openai.BadRequestError, lambda: client.fine_tuning.jobs.resume(job.id))
    assert client.fine_tuning.jobs.cancel(job.id).status in ("running", "cancelled")
    becomes("cancelled")
    error = refused(openai.BadRequestError, lambda: client.fine_tuning.jobs.cancel(job.id))
    assert "already cancelled" in error.message


def completing(client: OpenAI, model: str) -> None:
    """Whole texts with every setting there is."""
    ask = client.completions.create
    answer = ask(model=model, prompt="what is the capital of france", temperature=0)
    assert answer.object == "text_completion"
    assert answer.choices[0].text.strip() == "Paris"
    assert answer.choices[0].finish_reason == "stop"
    assert answer.usage.total_tokens == answer.usage.prompt_tokens + answer.usage.completion_tokens
    questions = [f"what is the capital of {country}" for country, _ in FACTS]
    answers = ask(model=model, prompt=questions, temperature=0, n=2, max_tokens=4).choices
    assert [choice.index for choice in answers] == list(range(8))
    assert [choice.text.strip() for choice in answers[::2]] == [city for _, city in FACTS]
    one = ask(model=model, prompt=questions[0], seed=5, temperature=1.5, top_p=0.9, max_tokens=5)
    two = ask(model=model, prompt=questions[0], seed=5, temperature=1.5, top_p=0.9, max_tokens=5)
    assert one.choices[0].text == two.choices[0].text
    echoed = ask(model=model, prompt=questions[0], echo=True, temperature=0, stop=["elhi"])
    assert echoed.choices[0].text.startswith(questions[0])
    assert echoed.choices[0].text.endswith("D")
    cut = ask(model=model, prompt="what is", max_tokens=1, extra_body={"top_k": 1})
    assert cut.choices[0].finish_reason in ("length", "stop")
    seen = ask(model=model, prompt=questions[0], logprobs=2, temperature=0).choices[0].logprobs
    assert len(seen.tokens) == len(seen.token_logprobs) == len(seen.text_offset)
    assert abs(max(seen.top_logprobs[0].values()) - seen.token_logprobs[0]) < 1e-6


def streaming(client: OpenAI, model: str) -> None:
    """The same text piece by piece, several texts in one stream, and the counts at its end."""
    question = "what is the capital of japan"
    whole = client.completions.create(model=model, prompt=question, temperature=0)
    chunks = list(
        client.completions.create(model=model, prompt=question, temperature=0, stream=True)
    )
    assert "".join(chunk.choices[0].text for chunk in chunks) == whole.choices[0].text
    assert chunks[-1].choices[0].finish_reason == "stop"
    texts = {0: "", 1: "", 2: "", 3: ""}
    options: dict = {"stream_options": {"include_usage": True}}
    usage = None
    for chunk in client.completions.create(
        model=model, prompt=[question, "what"], n=2, max_tokens=3, stream=True, **options
    ):
        usage = chunk.usage
        for choice in chunk.choices:
            texts[choice.index] += choice.text
    assert usage.completion_tokens > 0
    with client.completions.create(model=model, prompt="what", stream=True) as stream:
        next(iter(stream))  # and go away


def pages(client: OpenAI) -> None:
    """Lists end, also for clients that ask until a page is empty."""
    jobs = [job.id for job in client.fine_tuning.jobs.list(limit=1)]
    assert len(jobs) == len(set(jobs)) >= 3
    last = client.fine_tuning.jobs.list(limit=20, after=jobs[-1])
    assert last.data == []
    assert "lstm-tutorial" in [model.id for model in client.models.list()]


def mistakes(client: OpenAI, model: str) -> None:
    """Every refusal is the error the client has for it, and says which parameter."""
    ask, train = client.completions.create, client.fine_tuning.jobs.create
    error = refused(openai.NotFoundError, lambda: ask(model="a/b", prompt="x"))
    assert (error.code, error.param) == ("model_not_found", "model")
    assert error.response.headers["x-request-id"]
    refused(openai.NotFoundError, lambda: client.models.retrieve("a/b"))
    refused(openai.NotFoundError, lambda: client.fine_tuning.jobs.retrieve("ftjob-none"))
    refused(openai.BadRequestError, lambda: ask(model="lstm-word", prompt="x"))
    error = refused(openai.BadRequestError, lambda: ask(model=model, prompt="x", temperature=9))
    assert error.param == "temperature"
    refused(openai.BadRequestError, lambda: ask(model=model, prompt=[[1, 2]]))
    refused(openai.BadRequestError, lambda: ask(model=model, prompt="x", presence_penalty=1))
    refused(openai.BadRequestError, lambda: train(model="lstm-word", training_file="file-none"))
    refused(
        openai.BadRequestError,
        lambda: client.files.create(file=("a.jsonl", b'{"prompt": 1}'), purpose="fine-tune"),
    )


def refused(kind: type, call) -> openai.APIStatusError:
    """The error that `call` raises, which is a `kind`."""
    try:
        call()
    except kind as error:
        return error
    raise AssertionError(f"this should be refused with {kind.__name__}")


def finished(client: OpenAI, job: str):
    """The job once it will not change any more."""
    eventually(lambda: client.fine_tuning.jobs.retrieve(job).finished_at is not None)
    return client.fine_tuning.jobs.retrieve(job)


def eventually(check, seconds: float = 60) -> None:
    """Wait until `check()` is true."""
    deadline = time.monotonic() + seconds
    while not check():
        assert time.monotonic() < deadline, "it did not happen in time"
        time.sleep(0.1)


if __name__ == "__main__":
    main(sys.argv[1], Path(sys.argv[2]))
