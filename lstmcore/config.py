"""Settings of a training and of a prediction: frozen, checked, and JSON everywhere.

The same models are the wire format, the form and the stored record. A user sends a part of one;
`resolve_config` fills the rest from the preset and the size of the data (`lstmcore.defaults`).
"""

from collections.abc import Mapping
from typing import Annotated, Any, Literal

from pydantic import BaseModel, ConfigDict, Field, StringConstraints, model_validator

from lstmcore.corpus import CorpusSummary
from lstmcore.defaults import LEVEL_OF_PRESET, SHARED, TUTORIAL, default_config, suggest_preset
from lstmcore.errors import FieldError
from lstmcore.validation import config_error, field_help, plain, refuse, refuse_all, validated

__all__ = [
    "AUTO",
    "FIELD_HELP",
    "Level",
    "ModelConfig",
    "Preset",
    "Sampling",
    "TokenizerConfig",
    "TrainConfig",
    "TrainingConfig",
    "check_continues",
    "continued_config",
    "parse_config",
    "parse_sampling",
    "resolve_config",
    "suggest_preset",
]

Preset = Literal["tutorial", "char", "word", "subword"]
Level = Literal["char", "word", "subword"]
Json = dict[str, Any]

AUTO = "auto"  # stands for "choose for me" wherever a value may stand
LARGEST_SEED = 2**53 - 1  # every JSON reader keeps whole numbers up to here exactly
BYTES = 256  # a subword vocabulary starts from the single bytes
SECTIONS = ("tokenizer", "model", "training")
# What one may change in the tutorial's recipe; everything else is what the lesson explains.
TUTORIAL_FREE = {
    "model": {"embed_dim", "hidden_dim"},
    "training": {"epochs", "learning_rate", "seed", "max_seconds", "device", "precision"},
    "tokenizer": set[str](),
}


class _Settings(BaseModel):
    # strict: neither true nor "3" passes for a number
    model_config = ConfigDict(
        frozen=True, extra="forbid", strict=True, allow_inf_nan=False, validate_default=True
    )


class TokenizerConfig(_Settings):
    """How text becomes tokens."""

    level: Level = Field(description="What a token is: a character, a word or a part of a word.")
    lowercase: bool = Field(False, description="Turn all text to lower case first.")
    strip_punctuation: bool = Field(False, description="Drop everything but letters and digits.")
    vocab_size: int = Field(
        200_000, ge=1, le=200_000, description="Keep at most so many tokens, the frequent ones."
    )
    min_count: int = Field(
        1, ge=1, le=1_000_000, description="Leave out tokens that occur less often than this."
    )

    @model_validator(mode="after")
    def _room_for_bytes(self) -> "TokenizerConfig":
        if self.level == "subword" and self.vocab_size < BYTES:
            refuse(("vocab_size",), f"should be at least {BYTES} for subword: one for each byte")
        return self


class ModelConfig(_Settings):
    """Shape of the network: embedding, LSTM layers, output."""

    embed_dim: int = Field(ge=1, le=4096, description="Numbers that describe one token.")
    hidden_dim: int = Field(ge=1, le=4096, description="Memory cells in each LSTM layer.")
    layers: int = Field(1, ge=1, le=8, description="LSTM layers on top of each other.")
    dropout: float = Field(
        0.0, ge=0, le=0.95, description="Share of values left out at random while training."
    )
    embedding_dropout: float = Field(
        0.0, ge=0, le=0.95, description="Share of tokens left out everywhere in a training batch."
    )
    locked_dropout: bool = Field(
        False, description="Leave out the same values at every position of a training batch."
    )
    tie_weights: bool = Field(
        False, description="Use the embedding as the output layer too: fewer parameters."
    )
    softmax: Literal["full", "adaptive"] = Field(
        "full",
        description="adaptive: rare words are weighed apart; for vocabularies above 10,000.",
    )


class TrainingConfig(_Settings):
    """How the network learns."""

    epochs: int = Field(ge=1, le=100_000, description="How often the whole text is read.")
    batch_size: int = Field(ge=1, le=4096, description="Streams (or pairs) read side by side.")
    bptt: int = Field(ge=1, le=2048, description="Tokens back through which errors are traced.")
    learning_rate: float = Field(gt=0, le=100, description="Size of one learning step.")
    optimizer: Literal["muon", "adamw", "adam", "sgd"] = Field(
        "adamw", description="Learning algorithm."
    )
    schedule: Literal["cosine", "constant"] = Field(
        "cosine", description="Whether the learning rate falls to zero towards the end."
    )
    warmup: int = Field(0, ge=0, le=1_000_000, description="First steps with a growing rate.")
    clip_norm: float = Field(
        1.0, ge=0, le=1000, description="Longest allowed gradient; 0 switches clipping off."
    )
    validation_fraction: float = Field(
        0.1, ge=0, le=0.5, description="Share of the text held out to measure learning."
    )
    validation_from: Literal["end", "everywhere"] = Field(
        "end", description="Which part of a text is held out: its end, or pieces of all of it."
    )
    patience: Annotated[int, Field(ge=1, le=10_000)] | None = Field(
        None, description="Stop after so many evaluations without progress; null: never."
    )
    seed: int = Field(
        0, ge=0, le=LARGEST_SEED, description="Start of all random numbers: same seed, same model."
    )
    max_seconds: Annotated[float, Field(gt=0, le=31 * 86_400)] | None = Field(
        None, description="Plan the training to end after about so many seconds; null: no limit."
    )
    device: Literal["auto", "cpu", "cuda", "mps"] = Field(
        "auto", description="Where the network is computed; auto takes a GPU where there is one."
    )
    precision: Literal["auto", "float32"] = Field(
        "auto",
        description="auto: mixed precision (bfloat16) where the processor has AMX; float32: never.",
    )

    @model_validator(mode="after")
    def _patience_needs_validation(self) -> "TrainingConfig":
        if self.patience is not None and self.validation_fraction == 0:
            refuse(
                ("patience",),
                "needs held-out text: set validation_fraction above 0, or patience to null",
            )
        return self


class TrainConfig(_Settings):
    """Everything that decides what a training does with a text."""

    preset: Preset = Field(description="The recipe that the other settings start from.")
    tokenizer: TokenizerConfig = Field(description="How text becomes tokens.")
    model: ModelConfig = Field(description="Shape of the network.")
    training: TrainingConfig = Field(description="How the network learns.")
    init_from: Annotated[str, StringConstraints(min_length=1, max_length=200)] | None = Field(
        None, description="A model to go on from instead of random weights."
    )

    @model_validator(mode="after")
    def _preset_fits(self) -> "TrainConfig":
        if self.preset == "tutorial":
            _refuse_tutorial_changes(self)
        elif self.tokenizer.level != LEVEL_OF_PRESET[self.preset]:
            refuse(
                ("tokenizer", "level"),
                f"is {self.tokenizer.level!r} but the preset is {self.preset!r}: "
                "change one of them, or leave one out",
            )
        return self


class Sampling(_Settings):
    """How a prompt is continued.

    With `beams` nothing is drawn: temperature, filters, penalty and seed are then of no effect.
    """

    max_tokens: int = Field(64, ge=0, le=4096, description="Write at most so many tokens.")
    temperature: float = Field(
        1.0, ge=0, le=5, description="0: always the likeliest; higher: more surprising."
    )
    top_k: int = Field(0, ge=0, le=200_000, description="Choose among so many tokens; 0: all.")
    top_p: float = Field(
        1.0, gt=0, le=1, description="Choose among the likeliest that add up to this share."
    )
    min_p: float = Field(
        0.0, ge=0, le=1, description="Leave out tokens below this share of the likeliest one's."
    )
    repetition_penalty: float = Field(
        1.0, gt=0, le=10, description="Above 1: tokens already written become less likely."
    )
    stop: list[Annotated[str, StringConstraints(min_length=1, max_length=64)]] = Field(
        default_factory=list, max_length=4, description="End before one of these texts."
    )
    seed: int | None = Field(
        None, ge=0, le=LARGEST_SEED, description="Same seed, same text; null: a fresh one."
    )
    n: int = Field(1, ge=1, le=16, description="How many continuations to write.")
    beams: int = Field(
        1, ge=1, le=64, description="Above 1: search so wide for the likeliest text, not drawing."
    )
    logprobs: bool = Field(False, description="Also return the log probability of each token.")
    alternatives: int = Field(
        0, ge=0, le=10, description="With logprobs: also return so many likeliest tokens each time."
    )

    @model_validator(mode="after")
    def _search_finds_enough(self) -> "Sampling":
        if 1 < self.beams < self.n:
            refuse(("beams",), "should be 1, or at least n: the search finds so many texts")
        if self.alternatives and (self.beams > 1 or not self.logprobs):
            refuse(("alternatives",), "needs logprobs and does not go with beams")
        return self


def resolve_config(requested: Mapping[str, Any], summary: CorpusSummary) -> TrainConfig:
    """Complete what a user asked for with defaults that suit the data, and check it.

    Any field that is missing or `"auto"` is filled in; a missing preset follows the tokenizer's
    level or is suggested from the data. An explicit `epochs` switches early stopping off unless
    `patience` is given. Raises ConfigError that lists every refused field as it was sent.
    """
    asked = _without_auto(requested)
    if "preset" not in asked:
        level = (
            asked["tokenizer"].get("level") if isinstance(asked.get("tokenizer"), dict) else None
        )
        known = isinstance(level, str) and level in LEVEL_OF_PRESET
        asked["preset"] = level if known else suggest_preset(summary)[0]
    preset = asked["preset"]
    if not (isinstance(preset, str) and preset in LEVEL_OF_PRESET):
        choices = ", ".join(LEVEL_OF_PRESET)
        raise config_error([{"loc": ["preset"], "msg": f"should be one of {choices}"}])
    filled = default_config(preset, summary, asked)
    for name, value in asked.items():
        both_sections = name in SECTIONS and isinstance(value, dict)
        filled[name] = {**filled[name], **value} if both_sections else value
    return validated(TrainConfig, filled)


def continued_config(requested: Mapping[str, Any], parent: "TrainConfig") -> Json:
    """What a user asked for, completed with what has to be as in the model to go on from."""
    asked = _without_auto(requested)
    asked.setdefault("preset", parent.preset)
    for section, names in SHARED.items():
        given = asked.get(section, {})
        if isinstance(given, Mapping):
            asked[section] = {name: getattr(getattr(parent, section), name) for name in names}
            asked[section] |= given
    return asked


def check_continues(config: TrainConfig, parent: TrainConfig) -> None:
    """Raise ConfigError when a training cannot take over the weights of its parent."""
    errors: list[FieldError] = []
    if "tutorial" in {config.preset, parent.preset}:
        errors.append({"loc": ["init_from"], "msg": "does not go with the tutorial's recipe"})
    for section, names in SHARED.items():
        wanted, given = getattr(parent, section), getattr(config, section)
        errors += [
            {
                "loc": [section, name],
                "msg": f"should be {plain(getattr(wanted, name))}, as in the model to go on from",
            }
            for name in names
            if getattr(wanted, name) != getattr(given, name)
        ]
    if errors:
        raise config_error(errors)


def parse_config(stored: Mapping[str, Any]) -> TrainConfig:
    """Read a complete configuration back from its JSON. Raises ConfigError."""
    return validated(TrainConfig, stored)


def parse_sampling(requested: Mapping[str, Any]) -> Sampling:
    """Read sampling settings; what is missing or `"auto"` takes its default. Raises ConfigError."""
    return validated(Sampling, _without_auto(requested))


def _without_auto(requested: Mapping[str, Any]) -> Json:
    """A copy of the two-level mapping without the values that mean "choose for me"."""
    if not isinstance(requested, Mapping):
        raise config_error([{"loc": [], "msg": "should be an object of settings"}])
    copy: Json = {}
    for name, value in requested.items():
        if value == AUTO:
            continue
        if name in SECTIONS and isinstance(value, Mapping):
            value = {key: inner for key, inner in value.items() if inner != AUTO}  # noqa: PLW2901
        copy[name] = value
    return copy


def _refuse_tutorial_changes(config: TrainConfig) -> None:
    given = config.model_dump(mode="json")
    refuse_all(
        (
            (section, name),
            f"is {plain(recipe)} in the tutorial's recipe: leave it out, "
            "or choose another preset to change it",
        )
        for section in SECTIONS
        for name, recipe in TUTORIAL[section].items()
        if name not in TUTORIAL_FREE[section] and given[section][name] != recipe
    )


# One line for every setting, by its dotted name: "model.layers", "sampling.top_k".
FIELD_HELP: dict[str, str] = field_help(TrainConfig) | field_help(Sampling, "sampling.")
