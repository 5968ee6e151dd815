"""`/models/{…}/score` and its like: looks into a model; nothing is recorded."""

from functools import partial
from typing import Annotated

from flask import Blueprint, Response
from pydantic import Field

from web.api.parsing import LONGEST_WAIT_SECONDS, Body, Query, preferred_wait, read_body, read_query
from web.api.serialize import respond_json
from web.auth import current_backend, current_owner
from web.places import place
from web.roles import needs
from worker import insights as contract
from worker.records import Json

insights = Blueprint("insights", __name__, url_prefix="/models")


class NextBody(Body):
    """What the next token follows."""

    prompt: str


class ScoreBody(Body):
    """A text to score, as a continuation of a prompt."""

    text: str
    prompt: str = ""


class ExplainBody(Body):
    """A text to read step by step, and the layer to look at; null: the last."""

    text: str
    layer: int | None = None


class NeuronsBody(ExplainBody):
    """A text to read, and the neuron to look at beside those suggested."""

    neuron: int | None = None


class SaliencyBody(Body):
    """What the next token follows, and which one is to be explained; null: the likeliest."""

    prompt: str
    token: str | None = None


class NearestQuery(Query):
    """A token and how many others are asked for."""

    token: str
    count: int = 10


class MapQuery(Query):
    """How many tokens to place."""

    count: Annotated[int, Field(ge=1)] = 300


@insights.post("/<path:reference>/next")
@needs("viewer")
def next_scores(reference: str) -> Response:
    """Logits of what may come next: enough to work out the chances under any sampling settings."""
    body = read_body(NextBody)
    return _answer(partial(contract.next_scores, prompt=body.prompt), reference)


@insights.post("/<path:reference>/score")
@needs("viewer")
def score(reference: str) -> Response:
    """How well the model expects a text: each token's log probability in nats, and perplexity."""
    body = read_body(ScoreBody)
    return _answer(partial(contract.score, text=body.text, prompt=body.prompt), reference)


@insights.post("/<path:reference>/explain")
@needs("viewer")
def explain(reference: str) -> Response:
    """What a layer computes while the model reads a text, and what it expects at each token."""
    body = read_body(ExplainBody)
    return _answer(partial(contract.explain, text=body.text, layer=body.layer), reference)


@insights.post("/<path:reference>/neurons")
@needs("viewer")
def neurons(reference: str) -> Response:
    """A neuron's values over a text, and the most interesting neurons with what they follow."""
    body = read_body(NeuronsBody)
    asked = partial(contract.neurons, text=body.text, layer=body.layer, neuron=body.neuron)
    return _answer(asked, reference)


@insights.post("/<path:reference>/saliency")
@needs("viewer")
def saliency(reference: str) -> Response:
    """How much each token of a prompt spoke for the next one (gradient times input)."""
    body = read_body(SaliencyBody)
    return _answer(partial(contract.saliency, prompt=body.prompt, token=body.token), reference)


@insights.get("/<path:reference>/nearest")
def nearest(reference: str) -> Response:
    """Tokens that are alike to one, by the cosine of their vectors."""
    query = read_query(NearestQuery)
    return _answer(partial(contract.nearest, token=query.token, count=query.count), reference)


@insights.get("/<path:reference>/map")
def word_map(reference: str) -> Response:
    """Word vectors in the plane that shows most of their differences."""
    return _answer(partial(contract.word_map, count=read_query(MapQuery).count), reference)


def _answer(ask: "partial[Json]", reference: str) -> Response:
    """The answer; `Prefer: wait=N` waits less than a minute for it."""
    timeout = preferred_wait() or LONGEST_WAIT_SECONDS
    with place("prediction"):
        return respond_json(ask(current_backend(), current_owner(), reference, timeout=timeout))
