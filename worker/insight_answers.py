"""The predictor's side of `worker.insights`: which function of the core answers which question."""

from typing import Any

from lstmcore.embeddings import nearest_tokens, word_map
from lstmcore.export import LanguageModel
from lstmcore.introspection import saliency
from lstmcore.neurons import look_at_neurons
from lstmcore.outlook import outlook
from lstmcore.scoring import score
from lstmcore.walkthrough import walk_through
from worker.errors import Unavailable
from worker.records import Json


def answer_question(lm: LanguageModel, question: str, arguments: Json) -> dict[str, Any]:
    """The answer as JSON. Raises lstmcore's PromptError for what the model cannot do."""
    match question:
        case "next":
            found: Any = outlook(lm, **arguments)
        case "score":
            found = score(lm, **arguments)
        case "explain":
            found = walk_through(lm, **arguments)
        case "neurons":
            found = look_at_neurons(lm, **arguments)
        case "saliency":
            found = saliency(lm, **arguments)
        case "nearest":
            found = {"token": arguments["token"], "nearest": nearest_tokens(lm, **arguments)}
        case "map":
            found = word_map(lm, **arguments)
        case _:
            raise Unavailable(f"this predictor is older and does not know {question!r}; restart it")
    return dict(found)
