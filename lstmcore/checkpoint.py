"""Files of tensors: checkpoints (everything a training needs to go on) and model weights.

A checkpoint is one safetensors file. Its tensors are `model.*`, `optimizer.*`, `best.*` (when the
best weights are not the current ones), `carried.h` and `carried.c`, `rng` and `rng_epoch`; its
metadata holds the rest as JSON, and a checksum over everything. Nothing in a file is trusted: what
does not fit is a CheckpointError, and no part of it is used.
"""

import os
import zlib
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Literal

import safetensors
import torch
from pydantic import BaseModel, ConfigDict, ValidationError
from safetensors.torch import save_file
from torch import Tensor

from lstmcore.config import TrainConfig
from lstmcore.corpus import Layout
from lstmcore.errors import CheckpointError
from lstmcore.model_record import check_version
from lstmcore.progress import Progress

FORMAT_VERSION: Literal[1] = 1

Tensors = dict[str, Tensor]
Shapes = Mapping[str, tuple[int, ...]]


class CheckpointState(BaseModel):
    """The JSON of a checkpoint."""

    model_config = ConfigDict(extra="forbid", frozen=True, allow_inf_nan=False)

    format_version: Literal[1] = FORMAT_VERSION
    config: TrainConfig
    layout: Layout
    corpus_sha256: str
    tokenizer: str  # Hugging Face tokenizer.json
    progress: Progress


@dataclass(frozen=True)
class Checkpoint:
    """A training that has stopped: its JSON and its tensors, by their full names."""

    state: CheckpointState
    tensors: Tensors

    def part(self, prefix: str) -> Tensors:
        """The tensors `prefix.*`, without the prefix."""
        start = f"{prefix}."
        return {
            name.removeprefix(start): tensor
            for name, tensor in self.tensors.items()
            if name.startswith(start)
        }


def save_checkpoint(checkpoint: Checkpoint, path: Path) -> None:
    """Write the file whole or not at all."""
    state = checkpoint.state.model_dump_json()
    metadata = {
        "format": "lstmq checkpoint",
        "format_version": str(FORMAT_VERSION),
        "state": state,
        "crc32": _checksum(state, checkpoint.tensors),
    }
    write_tensors(checkpoint.tensors, path, metadata)


def load_checkpoint(path: Path) -> Checkpoint:
    """Read a checkpoint. Raises CheckpointError when it is damaged or of another format."""
    tensors, metadata = read_tensors(path)
    if metadata.get("format") != "lstmq checkpoint":
        raise CheckpointError(f"{path.name} is not a checkpoint of lstmq.")
    check_version(metadata.get("format_version"), FORMAT_VERSION, path.name)
    text = metadata.get("state", "")
    if metadata.get("crc32") != _checksum(text, tensors):
        raise CheckpointError(f"{path.name} is damaged: its checksum does not fit.")
    try:
        return Checkpoint(CheckpointState.model_validate_json(text), tensors)
    except ValidationError as error:
        raise CheckpointError(f"{path.name} is damaged: {_first(error)}.") from None


def write_tensors(tensors: Tensors, path: Path, metadata: dict[str, str] | None = None) -> None:
    """Write a safetensors file that is complete, and on the disk, once it has its name."""
    unfinished = path.with_name(f"{path.name}.{os.getpid()}.tmp")
    try:
        save_file(
            {name: tensor.detach().cpu().contiguous() for name, tensor in tensors.items()},
            unfinished,
            metadata,
        )
        replace_durably(unfinished, path)
    finally:
        unfinished.unlink(missing_ok=True)


def replace_durably(unfinished: Path, path: Path) -> None:
    """Give a finished file its name, after its bytes reached the disk."""
    _sync(unfinished)
    unfinished.replace(path)
    _sync(path.parent)


def _sync(path: Path) -> None:
    handle = os.open(path, os.O_RDONLY)
    try:
        os.fsync(handle)
    finally:
        os.close(handle)


def read_tensors(path: Path) -> tuple[Tensors, dict[str, str]]:
    """All tensors and the metadata of a safetensors file. Raises CheckpointError."""
    try:
        with safetensors.safe_open(path, framework="pt") as file:
            metadata = file.metadata() or {}
            return {name: file.get_tensor(name) for name in file.keys()}, metadata  # noqa: SIM118
    except FileNotFoundError:
        raise CheckpointError(f"There is no file {path.name}.") from None
    except (safetensors.SafetensorError, OSError, ValueError, RuntimeError) as error:
        raise CheckpointError(f"{path.name} is damaged or incomplete: {error}") from None


def check_shapes(found: Tensors, expected: Shapes, where: str) -> None:
    """Refuse tensors that are not exactly the expected float32 ones. Raises CheckpointError."""
    if missing := sorted(expected.keys() - found.keys()):
        raise CheckpointError(f"{where} lacks {missing[0]} and {len(missing) - 1} more tensors.")
    if unknown := sorted(found.keys() - expected.keys()):
        raise CheckpointError(f"{where} has a tensor that does not belong there: {unknown[0]}.")
    for name, shape in expected.items():
        tensor = found[name]
        if tuple(tensor.shape) != shape or tensor.dtype != torch.float32:
            raise CheckpointError(
                f"{where}: {name} is {tensor.dtype} {list(tensor.shape)}, "
                f"should be float32 {list(shape)}."
            )


def _checksum(state: str, tensors: Tensors) -> str:
    total = zlib.crc32(state.encode())
    for name in sorted(tensors):
        total = zlib.crc32(name.encode(), total)
        data = tensors[name].detach().cpu().contiguous().view(-1).view(torch.uint8)
        total = zlib.crc32(data.numpy().data, total)
    return f"{total:08x}"


def _first(error: ValidationError) -> str:
    detail = error.errors(include_url=False)[0]
    return f"{'.'.join(map(str, detail['loc']))} {detail['msg']}".strip()
