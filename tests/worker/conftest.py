"""Jobs to try the protocol on, without training anything."""

from collections.abc import Callable

import pytest

from worker import datasets, submissions
from worker.backend import Backend
from worker.records import Job

LINES = "what is your name : Jay\nwhat is capital of India : Delhi\nok\n"
Submit = Callable[..., Job]


@pytest.fixture
def submit(backend: Backend) -> Submit:
    """Submits the tutorial for an owner; each call is another job."""

    def submit_job(owner: str = "ann", name: str = "tutorial") -> Job:
        text = datasets.create(backend, owner, name=name, data=LINES.encode())
        config = {"preset": "tutorial"}
        return submissions.submit_train(backend, owner, name=name, dataset=text.id, config=config)

    return submit_job
