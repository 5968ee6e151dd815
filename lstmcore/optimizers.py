"""The optimizer: which one, at which learning rate, and its memory as named tensors."""

import math

import torch
from torch import Tensor, nn, optim

from lstmcore.config import TrainConfig, TrainingConfig
from lstmcore.errors import CheckpointError
from lstmcore.muon import Muon

WEIGHT_DECAY = 0.01  # of the matrices inside the network, with AdamW and Muon
MEMORY_OF_ADAM = ("step", "exp_avg", "exp_avg_sq")
MEMORY_OF_MUON = ("momentum_buffer",)


def make_optimizer(model: nn.Module, config: TrainConfig) -> optim.Optimizer:
    """The optimizer of a configuration. Its learning rate is set anew before each step.

    AdamW and Muon shrink the matrices only. Biases have nothing to shrink for; a row of the
    embedding would be shrunk at every step but moved only when its token occurs, so rare words
    would fade.
    """
    rate = config.training.learning_rate
    if config.preset == "tutorial":
        return optim.Adam(model.parameters(), lr=rate)  # as the recipe has it, to the last bit
    if config.training.optimizer == "sgd":
        return optim.SGD(model.parameters(), lr=rate)
    if config.training.optimizer == "adam":
        return optim.Adam(model.parameters(), lr=rate, fused=True)
    inside, outer, rest = _kinds(model)
    if config.training.optimizer == "muon":
        groups = [
            {"params": outer, "weight_decay": WEIGHT_DECAY},
            {"params": rest, "weight_decay": 0.0},
        ]
        return Muon(inside, groups, lr=rate, decay=WEIGHT_DECAY)
    groups = [
        {"params": inside + outer, "weight_decay": WEIGHT_DECAY},
        {"params": rest, "weight_decay": 0.0},
    ]
    return optim.AdamW(groups, lr=rate, fused=True)


def _kinds(model: nn.Module) -> tuple[list[nn.Parameter], list[nn.Parameter], list[nn.Parameter]]:
    """The matrices from layer to layer, those of the output, and what does not shrink."""
    kinds: tuple[list[nn.Parameter], ...] = ([], [], [])
    for name, parameter in model.named_parameters():
        shrinks = parameter.dim() > 1 and not name.startswith("embedding.")
        kinds[(0 if is_inside(name) else 1) if shrinks else 2].append(parameter)
    return kinds[0], kinds[1], kinds[2]


def is_inside(name: str) -> bool:
    """Whether a parameter is a matrix from layer to layer, which is what Muon is for."""
    return name.startswith(("lstm.weight_", "projection.", "output.views."))


def learning_rate(config: TrainingConfig, step: int, total_steps: int) -> float:
    """The rate of step number `step` (from 0): up during the warm-up, then constant or a cosine.

    A warm-up never takes more than half of the training.
    """
    warmup = min(config.warmup, total_steps // 2)
    if step < warmup:
        return config.learning_rate * (step + 1) / warmup
    if config.schedule == "constant":
        return config.learning_rate
    done = (step - warmup) / max(1, total_steps - warmup)  # 0..1
    return config.learning_rate * 0.5 * (1 + math.cos(math.pi * min(done, 1.0)))


def set_learning_rate(optimizer: optim.Optimizer, rate: float) -> None:
    """Use this rate from the next step on."""
    for group in optimizer.param_groups:
        group["lr"] = rate


def optimizer_tensors(optimizer: optim.Optimizer, model: nn.Module) -> dict[str, Tensor]:
    """What the optimizer remembers of each parameter, as `<parameter>.<value>`."""
    return {
        f"{name}.{key}": value
        for name, parameter in model.named_parameters()
        for key, value in optimizer.state.get(parameter, {}).items()
        if isinstance(value, Tensor)
    }


def expected_optimizer_shapes(
    weights: dict[str, tuple[int, ...]], config: TrainConfig, step: int
) -> dict[str, tuple[int, ...]]:
    """The names and shapes `optimizer_tensors` has after `step` steps on such weights."""
    if step == 0 or config.training.optimizer == "sgd":
        return {}
    muon = config.training.optimizer == "muon"
    return {
        f"{name}.{key}": () if key == "step" else shape
        for name, shape in weights.items()
        for key in (MEMORY_OF_MUON if muon and is_inside(name) else MEMORY_OF_ADAM)
    }


def load_optimizer_tensors(
    optimizer: optim.Optimizer, model: nn.Module, tensors: dict[str, Tensor]
) -> None:
    """Take over what `optimizer_tensors` gave; names and shapes were checked before."""
    parameters = dict(model.named_parameters())
    for full_name, tensor in tensors.items():
        name, _, key = full_name.rpartition(".")
        if key in {"step", "exp_avg_sq"} and not bool((tensor >= 0).all()):
            raise CheckpointError(f"The optimizer's {full_name} is not possible.")
        parameter = parameters[name]
        mine = tensor.clone(memory_format=torch.contiguous_format).to(parameter.device)
        optimizer.state[parameter][key] = mine
