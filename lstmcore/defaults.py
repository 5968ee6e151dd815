"""Defaults: which preset suits a text, and which settings suit a preset and a size of data.

The numbers aim at one core: a few hundred lines or pairs are learned in seconds, more text takes a
few minutes, or as long as `max_seconds` says (`lstmcore.budget`). They are plain dictionaries in
the shape of `config.TrainConfig`.
"""

from collections.abc import Mapping
from typing import Any

from lstmcore.budget import LARGE_VOCABULARY, fit_text, held_out_share
from lstmcore.corpus import CorpusSummary

Json = dict[str, Any]

LEVEL_OF_PRESET = {"tutorial": "word", "char": "char", "word": "word", "subword": "subword"}

# The recipe of the lesson, to the last number.
TUTORIAL: dict[str, Json] = {
    "tokenizer": {
        "level": "word",
        "lowercase": True,
        "strip_punctuation": True,
        "vocab_size": 200_000,
        "min_count": 1,
    },
    "model": {
        "embed_dim": 10,
        "hidden_dim": 20,
        "layers": 1,
        "dropout": 0.0,
        "embedding_dropout": 0.0,
        "locked_dropout": False,
        "tie_weights": False,
        "softmax": "full",
    },
    "training": {
        "epochs": 100,
        "batch_size": 1,
        "bptt": 4,
        "learning_rate": 0.01,
        "optimizer": "adam",
        "schedule": "constant",
        "warmup": 0,
        "clip_norm": 0.0,
        "validation_fraction": 0.0,
        "validation_from": "end",
        "patience": None,
        "seed": 0,
        "max_seconds": None,
        "device": "auto",
        "precision": "auto",
    },
}

# What a training that goes on from a model has to share with it.
SHARED = {
    "tokenizer": ("level", "lowercase", "strip_punctuation"),
    "model": ("embed_dim", "hidden_dim", "layers", "tie_weights", "softmax"),
}

CHARACTERS_PER_SUBWORD = 3.5  # what byte-level BPE of a few thousand tokens reaches on prose
PATIENCE = 4  # evaluations without progress
SMALL_PAIRS = 2_000  # fewer pairs are facts to be remembered: nothing is held out
SMALL_TOKENS = 8_000  # fewer tokens say nothing about held-out text
MEDIUM_TOKENS = 2_000_000
LONGEST_SECONDS = 31 * 86_400
LARGE_HIDDEN = 320  # cells; more learn with smaller steps
ADAM_LEARNING_RATE = 5e-3  # at most, where Muon's is larger
SGD_LEARNING_RATE = 1.0  # SGD with clipping needs steps some hundred times those of Adam


def suggest_preset(  # noqa: PLR0911 - a list of rules, the first that holds
    summary: CorpusSummary,
) -> tuple[str, str]:
    """The preset that suits a text, and a sentence that says why."""
    words_a_document = summary.words / max(1, summary.documents)
    if not summary.spaced:
        return "char", "The text is written without spaces between words, so letters are tokens."
    if summary.distinct_words > 60_000:  # noqa: PLR2004 - half a minute a million tokens from here
        return "subword", "The text has very many different words, so parts of words are tokens."
    if summary.layout == "pairs":
        return "word", "Prompts and answers are learned best word by word."
    if words_a_document <= 2:  # noqa: PLR2004 - names, single words
        return "char", "The lines are single words or names, so the model learns their letters."
    repeats = summary.words >= 1.5 * summary.distinct_words or summary.words < 1_000  # noqa: PLR2004
    if summary.layout == "lines" and repeats:
        return "word", "Short lines whose words come back are learned word by word."
    if summary.characters >= 4_000_000:  # noqa: PLR2004 - below, most words are too rare
        return "word", "There is enough text to learn how words follow each other."
    return "char", "From this much text a model learns more letter by letter than word by word."


def expected_tokens(level: str, summary: CorpusSummary) -> int:
    """Roughly how many tokens a text has; exact numbers need the tokenizer."""
    if level == "char":
        return summary.characters + summary.documents
    if level == "subword":
        return int(summary.characters / CHARACTERS_PER_SUBWORD) + summary.documents
    # punctuation is tokens too: about one for every four words
    return int(summary.words * 1.25) + summary.documents


def default_config(preset: str, summary: CorpusSummary, asked: Mapping[str, Any]) -> Json:
    """A complete configuration for a preset; `asked` are the user's values it has to suit."""
    if preset == "tutorial":
        recipe = {section: dict(values) for section, values in TUTORIAL.items()}
        return {"preset": preset, **recipe, "init_from": None}
    level = LEVEL_OF_PRESET[preset]
    tokens = expected_tokens(level, summary)
    tokenizer = _tokenizer(level, summary)
    if summary.layout == "pairs":
        shape = _pairs_training(summary)
    else:
        vocabulary = expected_vocabulary(level, tokenizer | _section(asked, "tokenizer"), summary)
        shape = _text_training(level, tokens, vocabulary, _seconds(asked))
    return {
        "preset": preset,
        "tokenizer": tokenizer,
        "model": shape["model"],
        "training": _training(shape["training"], summary, tokens, asked),
        "init_from": None,
    }


def _section(asked: Mapping[str, Any], name: str) -> Json:
    """What a user set in a section; what is no section is refused later."""
    section = asked.get(name)
    return dict(section) if isinstance(section, Mapping) else {}


def _seconds(asked: Mapping[str, Any]) -> float | None:
    """The time limit that was set; what is none is refused later."""
    seconds = _section(asked, "training").get("max_seconds")
    if isinstance(seconds, (int, float)) and 0 < seconds <= LONGEST_SECONDS:
        return float(seconds)
    return None


def _tokenizer(level: str, summary: CorpusSummary) -> Json:
    vocab_size, min_count = 200_000, 1
    if level == "char":
        vocab_size = 8_000
        min_count = 1 if summary.characters < MEDIUM_TOKENS else 2
    elif level == "word":
        # In a long text half of the words occur once: nothing can be learned about them.
        min_count = 1 if summary.layout == "pairs" or summary.words < 50_000 else 2  # noqa: PLR2004
        vocab_size = 30_000
    else:
        vocab_size = max(512, min(8_000, summary.characters // 250))
        min_count = 2
    return {
        "level": level,
        "lowercase": False,
        "strip_punctuation": False,
        "vocab_size": vocab_size,
        "min_count": min_count,
    }


def _pairs_training(summary: CorpusSummary) -> Json:
    """Facts and answers: few steps each, so many epochs; small nets remember hundreds of pairs."""
    pairs = summary.documents
    if pairs < SMALL_PAIRS:
        model = _model(64, 128, dropout=0.0)
        epochs = max(20, min(200, 20_000 // max(1, pairs)))
        return _shape(model, epochs=epochs, batch_size=16, bptt=64, learning_rate=5e-3, held_out=0)
    model = _model(128, 256, dropout=0.1)
    epochs = max(2, min(15, 150_000 // pairs))
    return _shape(model, epochs=epochs, batch_size=32, bptt=64, learning_rate=3e-3, held_out=0.05)


def _text_training(level: str, tokens: int, vocabulary: int, seconds: float | None) -> Json:
    """Running text: the more there is, the larger the model and the fewer times it is read."""
    words = level != "char"
    bptt = 35 if words else 64
    if tokens < SMALL_TOKENS:
        # 150 steps an epoch at most and a tiny net: seconds, and it knows its text by heart
        epochs = max(20, min(150, 300_000 // max(1, tokens)))
        model = _model(64, 128, dropout=0.0)
        return _shape(model, epochs=epochs, batch_size=4, bptt=bptt, learning_rate=5e-3, held_out=0)
    if tokens < SMALL_TOKENS * 20:
        epochs = max(8, min(40, 1_500_000 // tokens))
        model = _model(64, 192, dropout=0.25, tied=words)
        return _shape(
            model,
            epochs=epochs,
            batch_size=16,
            bptt=bptt,
            learning_rate=4e-3,
            held_out=0.1,
            optimizer="muon",
        )
    fit = fit_text(level, tokens, vocabulary, seconds)
    adaptive = level == "word" and vocabulary > LARGE_VOCABULARY
    model = _model(fit.embed_dim, fit.hidden_dim, dropout=fit.dropout, tied=words)
    return _shape(
        model | {"softmax": "adaptive" if adaptive else "full"},
        epochs=fit.epochs,
        batch_size=32 if words else 16,
        bptt=bptt,
        learning_rate=_learning_rate(words, fit.hidden_dim),
        held_out=held_out_share(tokens),
        optimizer="muon",
    )


def _suited_rate(optimizer: object, chosen: Json) -> float:
    """The rate for the optimizer that was asked for, where one was."""
    rate: float = chosen["learning_rate"]
    if optimizer == "sgd":
        return SGD_LEARNING_RATE
    return min(rate, ADAM_LEARNING_RATE) if optimizer in {"adam", "adamw"} else rate


def _learning_rate(words: bool, hidden: int) -> float:
    if hidden > LARGE_HIDDEN:
        return 5e-3 if words else 3e-3
    return 8e-3 if words else 5e-3


def expected_vocabulary(level: str, tokenizer: Json, summary: CorpusSummary) -> int:
    """Roughly how many tokens a vocabulary will have."""
    if level == "char":
        return summary.distinct_characters
    if level == "subword":
        return int(tokenizer["vocab_size"])
    # half of the words of a text occur once
    words = summary.distinct_words // (1 if tokenizer["min_count"] == 1 else 2)
    return min(int(tokenizer["vocab_size"]), words)


def _model(embed_dim: int, hidden_dim: int, *, dropout: float, tied: bool = False) -> Json:
    return {
        "embed_dim": embed_dim,
        "hidden_dim": hidden_dim,
        "layers": 1,
        "dropout": dropout,
        "embedding_dropout": 0.0,
        "locked_dropout": False,
        "tie_weights": tied,
        "softmax": "full",
    }


def _shape(
    model: Json,
    *,
    epochs: int,
    batch_size: int,
    bptt: int,
    learning_rate: float,
    held_out: float,
    optimizer: str = "adamw",
) -> Json:
    training = {
        "optimizer": optimizer,
        "epochs": epochs,
        "batch_size": batch_size,
        "bptt": bptt,
        "learning_rate": learning_rate,
        "validation_fraction": held_out,
    }
    return {"model": model, "training": training}


def _training(chosen: Json, summary: CorpusSummary, tokens: int, asked: Mapping[str, Any]) -> Json:
    """Complete the training section so that it suits what the user fixed in it."""
    given = _section(asked, "training")
    sgd = given.get("optimizer") == "sgd"
    held_out = given.get("validation_fraction", chosen["validation_fraction"])
    if given.get("patience") is not None and "validation_fraction" not in given and not held_out:
        held_out = 0.1  # stopping early needs held-out text
    patience = None if "epochs" in given or not held_out else PATIENCE
    steps = expected_steps({**chosen, **given}, summary, tokens)
    constant = given.get("schedule") == "constant"
    return {
        **chosen,
        "learning_rate": _suited_rate(given.get("optimizer"), chosen),
        "schedule": "cosine",
        "warmup": 0 if constant else min(200, steps // 20),
        "clip_norm": 0.25 if sgd else 1.0,
        "validation_fraction": held_out,
        "validation_from": "everywhere",
        "patience": patience,
        "seed": 0,
        "max_seconds": None,
        "device": "auto",
        "precision": "auto",
    }


def expected_steps(training: Mapping[str, Any], summary: CorpusSummary, tokens: int) -> int:
    """Roughly how many optimizer steps a training takes; wrong types count as one."""

    def whole(name: str) -> int:
        value = training.get(name)
        return value if isinstance(value, int) and value > 0 else 1

    if summary.layout == "pairs":
        steps_an_epoch = -(-summary.documents // whole("batch_size"))
    else:
        steps_an_epoch = -(-tokens // (whole("batch_size") * whole("bptt")))
    return max(1, steps_an_epoch) * whole("epochs")
