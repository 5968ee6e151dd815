"""Where a network is computed: processor or GPU."""

from collections.abc import Callable

import torch

from lstmcore.batches import derived_seed
from lstmcore.errors import ConfigError, FieldError

GPUS: dict[str, Callable[[], bool]] = {
    "cuda": torch.cuda.is_available,
    "mps": torch.backends.mps.is_available,
}


def choose_device(asked: str) -> torch.device:
    """The device for a setting: `auto` takes a GPU where there is one.

    Raises ConfigError when the machine has no such device.
    """
    if asked == "auto":
        asked = next((name for name, is_there in GPUS.items() if is_there()), "cpu")
    elif asked in GPUS and not GPUS[asked]():
        found: FieldError = {
            "loc": ["training", "device"],
            "msg": f"is {asked!r}, but this machine has none",
        }
        raise ConfigError(
            f"This machine has no {asked} device: set training.device to auto or cpu.", [found]
        )
    return torch.device(asked)


def seed_device(device: torch.device, seed: int, step: int) -> None:
    """Give a GPU the random numbers of one step, so that a resumed training has the same ones.

    Its generator cannot be put aside as the processor's is, so it is seeded anew for each step. On
    the processor nothing changes.
    """
    if device.type != "cpu":
        torch.get_device_module(device).manual_seed(derived_seed("device", seed, step))
