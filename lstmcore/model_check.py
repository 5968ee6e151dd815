"""Whether a model's folder from elsewhere is one that could be loaded; never imports torch."""

from pathlib import Path

from lstmcore.errors import CheckpointError, TokenizerError
from lstmcore.model_record import (
    CARD,
    SETTINGS,
    TOKENIZER,
    WEIGHTS,
    ModelRecord,
    check_tokenizer,
    parse_model_record,
)
from lstmcore.shapes import expected_shapes
from lstmcore.weights_file import check_weights

LARGEST_TEXT_BYTES = {SETTINGS: 1 << 20, TOKENIZER: 64 << 20, CARD: 1 << 20}


def check_model_folder(folder: Path) -> ModelRecord:
    """What its settings say, once all four files fit together. Raises CheckpointError."""
    from lstmcore.tokenizer import Tokenizer  # noqa: PLC0415 - loads the tokenizers library

    texts = {name: _read(folder / name, most) for name, most in LARGEST_TEXT_BYTES.items()}
    record = parse_model_record(texts[SETTINGS])
    try:
        tokenizer = Tokenizer.from_json(texts[TOKENIZER])
    except TokenizerError as error:
        raise CheckpointError(f"{TOKENIZER}: {error}") from error
    check_tokenizer(record, tokenizer)
    expected = expected_shapes(record.vocabulary_size, record.config.model)
    weights = folder / WEIGHTS
    with weights.open("rb") as file:
        check_weights(file, weights.stat().st_size, expected)
    return record


def _read(path: Path, most: int) -> str:
    if path.stat().st_size > most:
        raise CheckpointError(f"{path.name} has more than {most:,} bytes.")
    try:
        return path.read_text(encoding="utf-8")
    except UnicodeDecodeError:
        raise CheckpointError(f"{path.name} is not UTF-8.") from None
