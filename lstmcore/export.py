"""A model is a folder one owns: weights, settings, tokenizer and a model card. No pickle anywhere.

`model.safetensors` holds tensors only, `config.json` the settings and what the loader must know,
`tokenizer.json` the tokenizer in Hugging Face's format, `README.md` the card.
"""

import hashlib
import json
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from torch import Tensor

from lstmcore.checkpoint import (
    check_shapes,
    read_tensors,
    replace_durably,
    write_tensors,
)
from lstmcore.config import TrainConfig
from lstmcore.corpus import Layout
from lstmcore.errors import CheckpointError, TokenizerError
from lstmcore.model import LSTMLanguageModel
from lstmcore.model_record import (
    CARD,
    FILES,
    SETTINGS,
    TOKENIZER,
    WEIGHTS,
    ModelRecord,
    check_tokenizer,
    parse_model_record,
)
from lstmcore.shapes import expected_shapes
from lstmcore.tokenizer import Tokenizer


@dataclass(frozen=True)
class LanguageModel:
    """A network with its tokenizer, ready to continue texts."""

    model: LSTMLanguageModel
    tokenizer: Tokenizer
    config: TrainConfig
    layout: Layout

    @property
    def parameters(self) -> int:
        """How many numbers were learned."""
        return sum(tensor.numel() for tensor in self.model.tensors().values())

    @property
    def nbytes(self) -> int:
        """Memory of the weights, in bytes."""
        return sum(tensor.nbytes for tensor in self.model.tensors().values())


def write_model_folder(
    folder: Path, record: ModelRecord, tensors: dict[str, Tensor], tokenizer: Tokenizer, card: str
) -> dict[str, Any]:
    """Write the four files; return the record with `files`: {name: {bytes, sha256}}."""
    folder.mkdir(parents=True, exist_ok=True)
    write_tensors(tensors, folder / WEIGHTS)
    _write_text(folder / SETTINGS, json.dumps(record.model_dump(mode="json"), indent=2) + "\n")
    _write_text(folder / TOKENIZER, tokenizer.to_json())
    _write_text(folder / CARD, card)
    files = {name: _describe(folder / name) for name in FILES}
    return {**record.model_dump(mode="json"), "files": files}


def load_model(folder: Path) -> LanguageModel:
    """Load a model folder. Raises CheckpointError when a file is missing, damaged or unknown."""
    record = parse_model_record(_read_text(folder / SETTINGS))
    try:
        tokenizer = Tokenizer.from_json(_read_text(folder / TOKENIZER))
    except TokenizerError as error:
        raise CheckpointError(f"{TOKENIZER} is damaged: {error}") from error
    check_tokenizer(record, tokenizer)
    tensors, _ = read_tensors(folder / WEIGHTS)
    check_shapes(tensors, expected_shapes(record.vocabulary_size, record.config.model), WEIGHTS)
    model = LSTMLanguageModel(record.vocabulary_size, record.config.model)
    model.load_tensors(tensors)
    model.eval()
    return LanguageModel(model, tokenizer, record.config, record.layout)


def _read_text(path: Path) -> str:
    try:
        return path.read_text(encoding="utf-8")
    except FileNotFoundError:
        raise CheckpointError(f"There is no file {path.name} in the model's folder.") from None
    except (OSError, UnicodeDecodeError) as error:
        raise CheckpointError(f"{path.name} cannot be read: {error}") from None


def _write_text(path: Path, text: str) -> None:
    unfinished = path.with_name(f"{path.name}.tmp")
    unfinished.write_text(text, encoding="utf-8")
    replace_durably(unfinished, path)


def _describe(path: Path) -> dict[str, Any]:
    data = path.read_bytes()
    return {"bytes": len(data), "sha256": hashlib.sha256(data).hexdigest()}
