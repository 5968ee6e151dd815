"""`/models/{…}/score` and its like: looks into a model; nothing is recorded."""

from functools import partial

from flask import Blueprint, Response

from web.api.insight_shapes import (
    ExplainAnswer,
    MapAnswer,
    NearestAnswer,
    NeuronsAnswer,
    NextAnswer,
    SaliencyAnswer,
    ScoreAnswer,
)
from web.api.parsing import LONGEST_WAIT_SECONDS, Body, Query, preferred_wait, read_body, read_query
from web.api.serialize import respond_json
from web.auth import current_backend, current_owner
from web.operation import about, describes
from web.places import place
from web.roles import needs
from worker import insights as contract
from worker.records import Json

insights = Blueprint("insights", __name__, url_prefix="/models")


class NextBody(Body):
    """What the next token follows."""

    prompt: str = about("The text before.", "what is your")


class ScoreBody(Body):
    """A text to score, as a continuation of a prompt."""

    text: str = about("The text to score.", "your name")
    prompt: str = about("What comes before it.", "what is", "")


class ExplainBody(Body):
    """A text to read step by step, and the layer to look at; null: the last."""

    text: str = about("The text to read.", "what is your name")
    layer: int | None = about("Which layer, from 0; null: the last.", 0, None)


class NeuronsBody(ExplainBody):
    """A text to read, and the neuron to look at beside those suggested."""

    neuron: int | None = about("Which neuron, from 0.", 3, None)


class SaliencyBody(Body):
    """What the next token follows, and which one is to be explained; null: the likeliest."""

    prompt: str = about("The text before.", "what is your")
    token: str | None = about("The next token to explain; null: the likeliest.", "name", None)


class NearestQuery(Query):
    """A token and how many others are asked for."""

    token: str = about("A token of the vocabulary.", "name")
    count: int = about("How many others.", 3, 10)


class MapQuery(Query):
    """How many tokens to place."""

    count: int = about("How many tokens.", 5, 300, ge=1)


@insights.post("/<model:reference>/next")
@needs("viewer")
@describes(answers={200: NextAnswer}, body=NextBody, headers=("Prefer",))
def next_scores(reference: str) -> Response:
    """Logits of what may come next: enough to work out the chances under any sampling settings."""
    body = read_body(NextBody)
    return _answer(partial(contract.next_scores, prompt=body.prompt), reference)


@insights.post("/<model:reference>/score")
@needs("viewer")
@describes(answers={200: ScoreAnswer}, body=ScoreBody, headers=("Prefer",))
def score(reference: str) -> Response:
    """How well the model expects a text: each token's log probability in nats, and perplexity."""
    body = read_body(ScoreBody)
    return _answer(partial(contract.score, text=body.text, prompt=body.prompt), reference)


@insights.post("/<model:reference>/explain")
@needs("viewer")
@describes(answers={200: ExplainAnswer}, body=ExplainBody, headers=("Prefer",))
def explain(reference: str) -> Response:
    """What a layer computes while the model reads a text, and what it expects at each token."""
    body = read_body(ExplainBody)
    return _answer(partial(contract.explain, text=body.text, layer=body.layer), reference)


@insights.post("/<model:reference>/neurons")
@needs("viewer")
@describes(answers={200: NeuronsAnswer}, body=NeuronsBody, headers=("Prefer",))
def neurons(reference: str) -> Response:
    """A neuron's values over a text, and the most interesting neurons with what they follow."""
    body = read_body(NeuronsBody)
    asked = partial(contract.neurons, text=body.text, layer=body.layer, neuron=body.neuron)
    return _answer(asked, reference)


@insights.post("/<model:reference>/saliency")
@needs("viewer")
@describes(answers={200: SaliencyAnswer}, body=SaliencyBody, headers=("Prefer",))
def saliency(reference: str) -> Response:
    """How much each token of a prompt spoke for the next one (gradient times input)."""
    body = read_body(SaliencyBody)
    return _answer(partial(contract.saliency, prompt=body.prompt, token=body.token), reference)


@insights.get("/<model:reference>/nearest")
@describes(answers={200: NearestAnswer}, query=NearestQuery, headers=("Prefer",))
def nearest(reference: str) -> Response:
    """Tokens that are alike to one, by the cosine of their vectors."""
    query = read_query(NearestQuery)
    return _answer(partial(contract.nearest, token=query.token, count=query.count), reference)


@insights.get("/<model:reference>/map")
@describes(answers={200: MapAnswer}, query=MapQuery, headers=("Prefer",))
def word_map(reference: str) -> Response:
    """Word vectors in the plane that shows most of their differences."""
    return _answer(partial(contract.word_map, count=read_query(MapQuery).count), reference)


def _answer(ask: "partial[Json]", reference: str) -> Response:
    """The answer; `Prefer: wait=N` waits less than a minute for it."""
    timeout = preferred_wait() or LONGEST_WAIT_SECONDS
    with place("prediction"):
        return respond_json(ask(current_backend(), current_owner(), reference, timeout=timeout))
