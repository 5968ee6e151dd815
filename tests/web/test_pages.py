"""The form that starts a training, without a browser: what it takes, keeps and refuses."""

import io

import pytest
from flask.testing import FlaskClient

from lstmcore.config import FIELD_HELP
from tests.web.answers import TUTORIAL
from tests.web.html import elements, hidden_fields, job_of, kept_text, refusal, send
from web import create_app
from worker import datasets, jobs
from worker.backend import Backend
from worker.settings import Settings

HOSTILE = "<script>alert(1)</script><img src=x onerror=alert(2)>"


def test_a_text_becomes_a_job_and_its_page(client: FlaskClient, backend: Backend) -> None:
    identifier = job_of(send(client, text=TUTORIAL, preset="tutorial", name="The lesson"))
    job = jobs.get(backend, "local", identifier)
    assert (job.name, job.config["preset"]) == ("The lesson", "tutorial")
    page = client.get(f"/jobs/{identifier}").text
    assert "The lesson" in page
    assert "It is next in line." in page


def test_a_nameless_text_is_called_by_its_first_line(client: FlaskClient, backend: Backend) -> None:
    job = jobs.get(
        backend, "local", job_of(send(client, text="\n  the cat\tsat\non the mat\n" * 9))
    )
    assert job.name == "the cat sat"


def test_a_file_is_used_instead_of_the_box(client: FlaskClient, backend: Backend) -> None:
    upload = (io.BytesIO("καλημέρα κόσμε\n".encode("utf-16") * 20), "/tmp/greek.txt")  # noqa: S108
    job = jobs.get(backend, "local", job_of(send(client, text="the box", file=upload)))
    assert job.name == "greek.txt"
    text = datasets.get(backend, "local", str(job.dataset))
    assert "κόσμε" in str(datasets.load_corpus(backend, text).documents)


def test_only_what_was_filled_in_is_asked_for(client: FlaskClient, backend: Backend) -> None:
    given = {"training.epochs": "3", "training.patience": "OFF", "model.tie_weights": ""}
    job = jobs.get(backend, "local", job_of(send(client, text=TUTORIAL, preset="char", **given)))
    assert job.config["training"]["epochs"] == 3
    assert job.config["training"]["patience"] is None


@pytest.mark.parametrize("text", ["", " \n\t ", "\u3000\u00a0"])
def test_an_empty_text_is_refused_beside_the_box(client: FlaskClient, text: str) -> None:
    response = send(client, text=text, name="kept name")
    assert refusal(response, "text")
    assert 'value="kept name"' in response.text


@pytest.mark.parametrize(
    ("field", "value"),
    [
        ("model.layers", "0"),
        ("model.layers", "two"),
        ("model.hidden_dim", "1.5"),
        ("model.hidden_dim", "99999999999999999999"),
        ("training.learning_rate", "NaN"),
        ("training.learning_rate", "1e999"),
        ("training.epochs", "off"),
        ("training.epochs", HOSTILE),
        ("tokenizer.lowercase", "maybe"),
        ("tokenizer.level", "[]"),
        ("training.optimizer", "adamant"),
    ],
)
def test_a_refused_setting_is_said_beside_it_and_everything_is_kept(
    client: FlaskClient, field: str, value: str
) -> None:
    response = send(client, text=TUTORIAL, preset="char", **{field: value})
    assert refusal(response, field)
    assert kept_text(response.text).split() == TUTORIAL.split()
    assert "<details" in response.text
    assert {"open": None}.items() <= elements(response.text, "details")[0].items()


def test_an_unknown_preset_is_refused(client: FlaskClient) -> None:
    response = send(client, text=TUTORIAL, preset="oracle")
    assert response.status_code == 422
    assert 'id="message-preset"' in response.text


def test_a_priority_is_one_of_three(client: FlaskClient, backend: Backend) -> None:
    job = job_of(send(client, text=TUTORIAL, preset="tutorial", priority="low"))
    assert jobs.get(backend, "local", job).priority == "low"
    assert refusal(send(client, text=TUTORIAL, preset="tutorial", priority="now"), "priority")


def test_a_refused_name_is_said_beside_it(client: FlaskClient) -> None:
    assert refusal(send(client, text=TUTORIAL, name="n" * 201), "name")


def test_binary_data_and_a_broken_table_are_refused_beside_the_file(client: FlaskClient) -> None:
    for data, filename in ((b"\x00\x01\x02" * 99, "a.bin"), (b'a,b\n1,2\n1,"2\n', "a.csv")):
        assert refusal(send(client, file=(io.BytesIO(data), filename)), "file")


def test_what_is_refused_leaves_nothing_behind(client: FlaskClient, backend: Backend) -> None:
    send(client, text="")
    send(client, text=TUTORIAL, preset="char", **{"model.layers": "0"})
    assert jobs.list_page(backend, "local").data == []
    assert datasets.list_page(backend, "local").data == []


def test_a_missing_or_stale_token_keeps_the_text_and_says_so(client: FlaskClient) -> None:
    for token in ("", "stale", "ü"):
        response = send(client, text="my long text", csrf_token=token)
        assert response.status_code == 422
        assert "press the button once more" in response.text
        assert kept_text(response.text).strip() == "my long text"
        # and what came back can be sent at once
        again = hidden_fields(response.text) | {"text": TUTORIAL, "preset": "tutorial"}
        assert client.post("/", data=again).status_code == 303


def test_the_same_page_sent_twice_is_one_job(client: FlaskClient, backend: Backend) -> None:
    fields = hidden_fields(client.get("/").text) | {"text": TUTORIAL, "preset": "tutorial"}
    first, second = (client.post("/", data=fields) for _ in range(2))
    assert job_of(first) == job_of(second)
    assert len(datasets.list_page(backend, "local").data) == 1
    # another page is another job, even with the same text
    assert job_of(send(client, text=TUTORIAL, preset="tutorial")) != job_of(first)


def test_the_samples_fill_the_form_without_scripts_too(client: FlaskClient) -> None:
    links = [a for a in elements(client.get("/").text, "a") if "data-sample" in a]
    assert links
    for link in links:
        text = client.get(str(link["data-sample"]))
        assert text.mimetype == "text/plain"
        assert kept_text(client.get(str(link["href"])).text).split() == text.text.split()
    assert client.get("/samples/nothing.txt").status_code == 404
    assert client.get("/?sample=../../secret").status_code == 200


def test_every_setting_has_a_label_and_its_sentence(client: FlaskClient) -> None:
    page = client.get("/").text
    labels = {label.get("for") for label in elements(page, "label")}
    boxes = {str(box["name"]): box for tag in ("input", "select") for box in elements(page, tag)}
    shown = [name for name in FIELD_HELP if name.count(".") and not name.startswith("sampling.")]
    for name in shown:
        assert boxes[name]["id"] in labels
        assert f'id="{boxes[name]["aria-describedby"]}"' in page


def test_a_job_can_be_made_again_with_a_change(client: FlaskClient, backend: Backend) -> None:
    given = {
        "training.epochs": "3",
        "training.patience": "off",
        "model.layers": "2",
        "priority": "high",
    }
    job = job_of(send(client, text=TUTORIAL * 9, preset="char", name="First", **given))
    page = client.get(f"/?from={job}").text
    filled = {
        str(box["name"]): box["value"]
        for box in elements(page, "input")
        if "." in str(box.get("name")) and box.get("value")
    }
    # only what its text would not have chosen by itself
    assert filled == {"model.layers": "2", "training.epochs": "3"}
    dataset = jobs.get(backend, "local", job).dataset
    chosen = [option for option in elements(page, "option") if "selected" in option]
    assert [option["value"] for option in chosen] == [dataset, "high"]
    fields = hidden_fields(page) | filled | {"dataset": str(dataset), "preset": "char"}
    again = jobs.get(backend, "local", job_of(client.post("/", data=fields)))
    assert again.config == jobs.get(backend, "local", job).config
    assert again.dataset == dataset
    assert client.get("/?from=job-gone").status_code == 404


def test_a_text_from_before_that_is_gone_is_said_beside_it(
    client: FlaskClient, backend: Backend
) -> None:
    text = datasets.create(backend, "local", name="t", data=TUTORIAL.encode())
    datasets.create(backend, "local", name="the same again", data=TUTORIAL.encode())
    assert len(elements(client.get("/").text, "option")) > 1
    response = send(client, dataset="data-gone")
    assert refusal(response, "dataset")
    refused = send(client, dataset=text.id, preset="char", **{"model.layers": "0"})
    assert refusal(refused, "model.layers")
    assert datasets.get(backend, "local", text.id), "a text that was there before stays"


# -- limits ---------------------------------------------------------------------------------------


def test_a_file_over_the_limit_is_a_clear_413(settings: Settings) -> None:
    app = create_app(settings.model_copy(update={"max_upload_bytes": 1000}))
    response = send(app.test_client(), file=(io.BytesIO(b"a" * 200_000), "big.txt"))
    assert response.status_code == 413
    assert "LSTMQ_MAX_UPLOAD_BYTES" in response.text
    app.extensions["lstmq"].close()


def test_a_quota_is_said_on_the_form_with_the_text_kept(settings: Settings) -> None:
    app = create_app(settings.model_copy(update={"max_active_jobs": 1}))
    client = app.test_client()
    assert send(client, text=TUTORIAL).status_code == 303
    response = send(client, text=TUTORIAL + "one more\n")
    assert response.status_code == 429
    assert "one more" in kept_text(response.text)
    app.extensions["lstmq"].close()
