"""What `/score` and its like answer: the numbers of `lstmcore`, each described."""

from pydantic import Field

from web.api.shapes import MODEL_ID
from web.operation import Answer, about


class Looked(Answer):
    """Which model was looked into."""

    model: str = about("The model's id.", MODEL_ID)
    seconds: float = about("Seconds it took.", 0.004)


class Read(Looked):
    """A text as the network read it."""

    tokens: list[str] = about("The tokens that were read.", ["what", "is", "your", "name"])
    ids: list[int] = about("Their numbers.", [8, 3, 9, 5])
    unknown_tokens: list[str] = about("Of the text, what the model does not know.", [])


class Candidate(Answer):
    """A token that may be written next."""

    token: str = about("The token.", " name")
    id: int = about("Its number.", 5)
    logit: float = about("What the network gives for it.", 4.2)
    seen: bool = about("It stands in the prompt: a repetition penalty acts on it.", False)


class LogitRange(Answer):
    """Tokens that are not listed, whose logits are nearly the same."""

    logit: float = about("So that `count` times exp of it is their sum of exp.", -3.1)
    count: int = about("How many.", 12)


class NextAnswer(Looked):
    """What may come next, before any setting acts on it."""

    candidates: list[Candidate] = Field(description="Tokens, the likeliest first.")
    others: list[LogitRange] = Field(description="All others, counted by their logits.")
    barred_probability: float = about("Of special tokens that are never written.", 0.001)
    prompt_tokens: int = about("Tokens read.", 3)
    unknown_tokens: list[str] = about("Of the prompt, what the model does not know.", [])
    notice: str | None = about("What the reader should know about the prompt.", None)


class ScoredToken(Answer):
    """A token of a text and how well it was expected."""

    token: str = about("The token.", " name")
    logprob: float = about("Its log probability, in nats.", -0.2)
    expected: str = about("What the model expected most.", " name")
    expected_logprob: float = about("And how much.", -0.2)


class ScoreAnswer(Looked):
    """How well a text was expected."""

    tokens: list[ScoredToken] = Field(description="Every token of the text.")
    logprob: float = about("Log probability of the whole text, in nats.", -1.4)
    perplexity: float = about("exp of the mean loss a token; 1 is perfect.", 1.4)
    unknown_tokens: list[str] = about("Of the text, what the model does not know.", [])


class Expected(Answer):
    """A token that may come next, before temperature and filters."""

    token: str = about("The token.", " name")
    id: int = about("Its number.", 5)
    logit: float = about("What the network gives for it.", 4.2)
    probability: float = about("Its softmax.", 0.8)


class Gates(Answer):
    """What a layer computes: a row for each step shown, a number for each cell shown."""

    input: list[list[float]] = about("How much is let in, 0 to 1.", [[0.9, 0.2]])
    forget: list[list[float]] = about("How much is kept, 0 to 1.", [[0.8, 0.9]])
    candidate: list[list[float]] = about("What would be let in, -1 to 1.", [[0.5, -0.4]])
    output: list[list[float]] = about("How much is shown, 0 to 1.", [[0.7, 0.6]])
    cell: list[list[float]] = about("The memory itself.", [[0.5, -0.1]])
    hidden: list[list[float]] = about("What is shown of it, -1 to 1.", [[0.3, -0.05]])


class StepAnswer(Answer):
    """A token that was read, and what the network expects after it."""

    token: str = about("The token.", "what")
    id: int = about("Its number.", 8)
    embedding: list[float] = about("The first numbers of its vector.", [0.1, -1.2])
    next_tokens: list[Expected] = Field(description="What is expected after it.")


class ExplainAnswer(Read):
    """One prediction step by step: tokens, embedding, gates and states, logits, softmax."""

    vocabulary_size: int = about("Tokens the model chooses between.", 13)
    embedding_shape: list[int] = about("Tokens read, numbers of a vector.", [4, 10])
    layers: int = about("Layers of the network.", 1)
    hidden_size: int = about("Memory cells of a layer.", 20)
    layer: int = about("The layer shown, from 0.", 0)
    cells: list[int] = about("Which of its cells are shown.", [0, 7])
    first_step: int = about("The first step shown; earlier ones were read too.", 0)
    steps: list[StepAnswer] = Field(description="The steps shown.")
    cell_before: list[float] = about("The cells before the first of them.", [0.0, 0.0])
    gates: Gates = Field(description="What the cells compute at each step.")
    logits_shape: list[int] = about("Logits of the last step.", [13])
    log_sum: float = about("log of the sum of exp of all of them.", 4.5)
    next_tokens: list[Expected] = Field(description="After the last token, the likeliest first.")
    other_probability: float = about("Of all tokens that are not listed.", 0.01)


class Neuron(Answer):
    """A memory cell over a text, and what it seems to follow."""

    layer: int = about("Its layer, from 0.", 0)
    neuron: int = about("Its number, from 0.", 3)
    reason: str = about("What it follows in this text.", "rises along a line")
    correlation: float | None = about("With that; null: nothing known fits.", 0.72)
    values: list[float] = about("What it shows at each token, -1 to 1.", [0.1, -0.3, 0.2, 0.4])


class NeuronsAnswer(Read):
    """The neuron that was asked for first, then those worth a look."""

    layers: int = about("Layers of the network.", 1)
    hidden_size: int = about("Memory cells of a layer.", 20)
    neurons: list[Neuron] = Field(description="The neurons.")


class Influence(Answer):
    """A token of the context."""

    token: str = about("The token.", "your")
    saliency: float = about(
        "How much it spoke for the predicted one, in nats; below 0 against.", 0.6
    )


class SaliencyAnswer(Looked):
    """What in the context made the network expect a token."""

    predicted: str = about("The token that is explained.", " name")
    logprob: float = about("Its log probability, in nats.", -0.2)
    context: list[Influence] = Field(description="Every token of the context.")


class Neighbour(Answer):
    """A token that is alike."""

    token: str = about("The token.", "age")
    similarity: float = about("Cosine of the two vectors, -1 to 1.", 0.6)


class NearestAnswer(Looked):
    """Tokens alike to one."""

    token: str = about("The token asked about.", "name")
    nearest: list[Neighbour] = Field(description="The others, the most alike first.")


class Place(Answer):
    """A token on a map."""

    token: str = about("The token.", "name")
    id: int = about("Its number.", 5)
    x: float = about("Along the axis that shows most.", 0.4)
    y: float = about("Along the second.", -1.1)


class MapAnswer(Looked):
    """Tokens in a plane."""

    points: list[Place] = Field(description="Where they are.")
    shares: list[float] = about("How much of their differences each axis shows.", [0.4, 0.2])
    dimensions: int = about("Numbers of a vector.", 10)
    vocabulary: int = about("Tokens that could have been shown.", 10)
