"""Settings: one place, safe by default."""

from pathlib import Path

import pytest
from pydantic import ValidationError

from worker.settings import LONGEST_SOCKET_PATH, Settings


def test_the_defaults_need_nothing_but_a_folder(tmp_path: Path) -> None:
    settings = Settings(data_dir=tmp_path)
    assert settings.effective_redis_url == f"unix://{tmp_path}/valkey.sock"
    assert settings.effective_database_url == f"sqlite:///{tmp_path}/lstmq.sqlite"
    assert settings.effective_store_url == (tmp_path / "store").as_uri()


def test_settings_come_from_the_environment(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("LSTMQ_SLICE_SECONDS", "7.5")
    monkeypatch.setenv("LSTMQ_API_KEYS", " ann:one , bob:two:three ,")
    settings = Settings()
    assert settings.slice_seconds == 7.5
    assert settings.api_keys == {"ann": "one", "bob": "two:three"}


@pytest.mark.parametrize("keys", ["ann", "ann:", ":key"])
def test_unreadable_keys_are_refused(keys: str) -> None:
    with pytest.raises(ValidationError, match="owner:key"):
        Settings(api_keys=keys)  # type: ignore[arg-type]


def test_a_socket_path_too_long_for_the_system_is_said_early(tmp_path: Path) -> None:
    long = tmp_path / ("x" * LONGEST_SOCKET_PATH)
    with pytest.raises(ValueError, match="LSTMQ_DATA_DIR"):
        Settings(data_dir=long).check_socket_path()
    Settings(data_dir=long, redis_url="redis://localhost").check_socket_path()
