"""The device: on the processor nothing changes, and what is not there is refused."""

from pathlib import Path

import pytest
import torch

from lstmcore.config import parse_config
from lstmcore.device import GPUS, choose_device, seed_device
from lstmcore.errors import ConfigError
from lstmcore.training import Trainer
from tests.lstmcore.trainings import TEXT, check_resumed, config

HERE = [name for name, is_there in GPUS.items() if is_there()]
MISSING = [name for name in GPUS if name not in HERE]


@pytest.mark.parametrize("name", MISSING)
def test_a_device_that_is_not_there_is_refused(name: str) -> None:
    with pytest.raises(ConfigError, match="auto or cpu") as caught:
        Trainer.start(config(TEXT, device=name), TEXT)
    assert caught.value.errors[0]["loc"] == ["training", "device"]


def test_auto_takes_what_there_is() -> None:
    assert choose_device("auto").type == (HERE[0] if HERE else "cpu")
    assert choose_device("cpu").type == "cpu"


def test_the_processor_keeps_its_random_numbers() -> None:
    before = torch.get_rng_state()
    seed_device(torch.device("cpu"), 1, 2)
    assert torch.equal(torch.get_rng_state(), before)


@pytest.mark.skipif(not HERE, reason="needs a GPU")
def test_a_training_on_a_gpu_can_be_resumed(tmp_path: Path) -> None:
    check_resumed(config(TEXT, layers=2, dropout=0.3), TEXT, tmp_path, 5)


def test_settings_from_before_devices_and_dropouts_are_read() -> None:
    old = config(TEXT).model_dump(mode="json")
    del old["training"]["device"], old["model"]["embedding_dropout"], old["model"]["locked_dropout"]
    assert parse_config(old) == config(TEXT)
