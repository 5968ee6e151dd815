"""What a model's folder holds and what its `config.json` says; never imports torch.

Apart from `lstmcore.export`, so that whoever only looks at a model need not load the tensors.
"""

import json
from typing import TYPE_CHECKING, Literal

from pydantic import BaseModel, ConfigDict, Field, ValidationError

from lstmcore.config import TrainConfig
from lstmcore.corpus import Layout
from lstmcore.errors import CheckpointError, NewerFormat

if TYPE_CHECKING:
    from lstmcore.tokenizer import Tokenizer

FILES = ("model.safetensors", "config.json", "tokenizer.json", "README.md")
WEIGHTS, SETTINGS, TOKENIZER, CARD = FILES
FORMAT_VERSION: Literal[1] = 1
FORMAT_NAME: Literal["lstmq model"] = "lstmq model"


class ModelRecord(BaseModel):
    """What `config.json` says: enough to build the network and use it."""

    model_config = ConfigDict(extra="forbid", allow_inf_nan=False)

    format: Literal["lstmq model"] = FORMAT_NAME
    format_version: Literal[1] = FORMAT_VERSION
    config: TrainConfig
    layout: Layout
    vocabulary_size: int = Field(ge=1)  # rows of the output layer
    parameters: int = Field(ge=1)
    step: int = Field(ge=0)
    epoch: int = Field(ge=0)
    train_loss: float | None
    validation_loss: float | None
    corpus_sha256: str


def parse_model_record(text: str | bytes) -> ModelRecord:
    """Read `config.json`. Raises CheckpointError when it is damaged, foreign or too new."""
    try:
        found = json.loads(text)
    except (ValueError, RecursionError) as error:
        raise CheckpointError(f"{SETTINGS} is damaged: {error}") from None
    if not isinstance(found, dict) or found.get("format") != FORMAT_NAME:
        raise CheckpointError(f"{SETTINGS} does not belong to a model of lstmq.")
    check_version(found.get("format_version"), FORMAT_VERSION, SETTINGS)
    try:
        return ModelRecord.model_validate_json(json.dumps(found))
    except ValidationError as error:
        detail = error.errors(include_url=False)[0]
        place = ".".join(map(str, detail["loc"]))
        raise CheckpointError(f"{SETTINGS} is damaged: {place} {detail['msg']}.") from None


def check_version(found: object, known: int, name: str) -> None:
    """Refuse a file of a format that this version does not read."""
    if isinstance(found, str) and found.isdecimal() and len(found) < 10:  # noqa: PLR2004
        found = int(found)
    if not isinstance(found, int) or found < 1:
        raise CheckpointError(f"{name} does not say which format it has.")
    if found > known:
        raise NewerFormat(
            f"{name} was written by a newer version (format {found}; this one reads up to "
            f"{known}). Update lstmq to use it."
        )


def check_tokenizer(record: ModelRecord, tokenizer: "Tokenizer") -> None:
    """Raise CheckpointError when a tokenizer is not the one that the record speaks of."""
    if record.vocabulary_size != tokenizer.modelled_size:
        raise CheckpointError(
            f"{SETTINGS} speaks of {record.vocabulary_size} tokens, "
            f"{TOKENIZER} has {tokenizer.modelled_size}."
        )
    if (record.config.preset == "tutorial") != tokenizer.kind.ascii_only:
        raise CheckpointError(f"{TOKENIZER} is not of the preset that {SETTINGS} speaks of.")
