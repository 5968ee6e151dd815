"""How large a network, and how many epochs: what suits an amount of text and of time.

A step costs about six floating point operations for each weight and token, so time buys a product
of weights and tokens. It is best spent on ten to twenty tokens for each weight of the LSTM: on a
megabyte of Shakespeare's letters, 256 cells and four epochs beat 192 and six or seven, and in twice
that time 256 and eight beat 320 and five (DESIGN.md). Where text is short, reading it more often
than MOST_EPOCHS times teaches nothing new, so the rest of the time goes into a larger network, as
far as the text can fill it.
"""

from dataclasses import dataclass

FLOPS_PER_SECOND = 75e9  # one recent core, while it trains
FLOPS_PER_WEIGHT = 6  # a multiplication and an addition: forward, and twice backward
GATES = 4
DEFAULT_SECONDS = 240.0  # what a training takes about when nobody says
SHARE_FOR_STEPS = 0.9  # of the time; the rest is for evaluations
SIZES = (128, 192, 256, 320, 384, 512, 640, 768, 1024)
TOKENS_A_WEIGHT = 9.5
WEIGHTS_A_TOKEN = 1.5  # of text; a larger network would know it by heart
MOST_EPOCHS = 20
# The true speed is measured when the training runs, and its steps are cut to it. So the plan for a
# time limit has more epochs than the assumed speed allows.
ROOM_FOR_SPEED = 1.6
LARGE_VOCABULARY = 10_000  # words; from here adaptive softmax is several times as fast
SCORED = 6_000  # tokens it scores for each token that is read: the head, and now and then a tail


@dataclass(frozen=True)
class Fit:
    """What fits."""

    embed_dim: int
    hidden_dim: int
    epochs: int
    dropout: float


def fit_text(level: str, tokens: int, vocabulary: int, seconds: float | None) -> Fit:
    """The network and the epochs for `tokens` tokens of running text.

    `seconds` is the limit that was set, if one was. More time never makes it smaller.
    """
    work = FLOPS_PER_SECOND * SHARE_FOR_STEPS * (seconds or DEFAULT_SECONDS)
    hidden = SIZES[0]
    for size in SIZES:
        weights = _recurrent(level, size)
        read = work / _flops_a_token(level, size, vocabulary)
        enough = read >= min(TOKENS_A_WEIGHT * weights, MOST_EPOCHS * tokens)
        if enough and weights <= WEIGHTS_A_TOKEN * tokens:
            hidden = size
    fitting = work / _flops_a_token(level, hidden, vocabulary) / max(1, tokens)
    room = 1.0 if seconds is None else ROOM_FOR_SPEED
    epochs = max(1, min(MOST_EPOCHS, round(room * fitting)))
    return Fit(_embedding(level, hidden), hidden, epochs, _dropout(level, fitting))


def held_out_share(tokens: int) -> float:
    """How much text to hold out: enough to measure with, of long texts no more than that."""
    return round(min(0.1, 60_000 / max(1, tokens)), 6)


def _embedding(level: str, hidden: int) -> int:
    return 64 if level == "char" else hidden // 2


def _recurrent(level: str, hidden: int) -> int:
    return GATES * hidden * (_embedding(level, hidden) + hidden)


def _flops_a_token(level: str, size: int, vocabulary: int) -> float:
    width = size if level == "char" else _embedding(level, size)  # of tied weights
    scored = SCORED if level == "word" and vocabulary > LARGE_VOCABULARY else vocabulary
    return float(FLOPS_PER_WEIGHT * (_recurrent(level, size) + scored * width))


def _dropout(level: str, epochs: float) -> float:
    """The more often a text is read, the more has to be left out."""
    few, some = (0.1, 0.2) if level == "char" else (0.2, 0.3)
    return few if epochs < 9 else some if epochs < 16 else 0.3  # noqa: PLR2004
