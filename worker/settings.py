"""The one documented place of every setting: environment variables `LSTMQ_*`, read once at start.

Values and paths only; nothing is opened or started here.
"""

from functools import cached_property
from pathlib import Path
from typing import Annotated, Literal

from pydantic import Field, field_validator
from pydantic_settings import BaseSettings, NoDecode, SettingsConfigDict

MEBIBYTE = 1024 * 1024
LOOPBACK_HOSTS = frozenset({"127.0.0.1", "localhost", "::1"})
# sockaddr_un.sun_path holds 108 bytes on Linux and 104 on macOS, the final NUL included.
LONGEST_SOCKET_PATH = 103


class Settings(BaseSettings):
    """Settings of one installation. Every field is `LSTMQ_` + its name in capitals."""

    model_config = SettingsConfigDict(env_prefix="LSTMQ_", frozen=True, extra="ignore")

    data_dir: Path = Field(Path("var"), description="Folder of everything that must survive.")
    redis_url: str = Field("", description="Redis or Valkey; empty: the embedded server.")
    database_url: str = Field("", description="SQLAlchemy URL; empty: SQLite in the data folder.")
    store_url: str = Field("", description="obstore URL of artifacts; empty: a folder.")
    host: str = Field("127.0.0.1", description="Address the web server listens on.")
    port: int = Field(8000, ge=0, le=65535, description="Port; 0 takes a free one.")
    api_keys: Annotated[dict[str, str], NoDecode] = Field(
        default_factory=dict,
        description="`owner:key,…`: keys of admins, beside those of `lstmq keys`.",
    )
    secret_key: str = Field("", description="Signs cookies; empty: made and kept in data_dir.")
    session_hours: float = Field(
        12.0, gt=0, le=8760, description="After so long a browser must sign in again."
    )
    trusted_proxies: int = Field(
        0, ge=0, le=10, description="Proxies before the service whose X-Forwarded-* are believed."
    )

    slice_seconds: float = Field(20.0, gt=0, description="Aim for the length of a training slice.")
    lease_seconds: float = Field(20.0, gt=0, description="A slice not renewed for so long is lost.")
    hang_seconds: float = Field(
        600.0, gt=0, description="A slice that takes no step for so long is ended."
    )
    train_workers: int = Field(1, ge=0, description="Training workers `lstmq up` starts.")
    predict_workers: int = Field(1, ge=0, description="Predictors `lstmq up` starts.")
    threads: int = Field(1, ge=0, description="Threads a worker; 0: its share of the cores.")
    model_cache_bytes: int = Field(
        512 * MEBIBYTE, ge=0, description="Memory a predictor keeps loaded models in."
    )

    keep_predictions_days: float = Field(
        30.0, ge=0, description="Finished prediction jobs older than this go; 0: they stay."
    )
    keep_checkpoints_days: float = Field(
        30.0, ge=0, description="Checkpoints of jobs finished before that go; 0: they stay."
    )
    keep_texts_days: float = Field(
        30.0, ge=0, description="Older texts pasted for a job that is deleted go; 0: they stay."
    )
    keep_audit_days: float = Field(
        365.0, ge=0, description="Older entries of the audit log go; 0: they stay."
    )

    log_format: Literal["text", "json"] = Field(
        "text", description="How log lines are written: for people, or for machines."
    )
    log_level: Literal["debug", "info", "warning", "error"] = Field(
        "warning", description="The least important lines to write; info names every slice."
    )

    max_upload_bytes: int = Field(100 * MEBIBYTE, ge=1, description="Largest uploaded file.")
    max_body_bytes: int = Field(16 * MEBIBYTE, ge=1, description="Largest JSON or form body.")
    max_reading_bytes: int = Field(
        4096 * MEBIBYTE, ge=256 * MEBIBYTE, description="Memory that reading an upload may take."
    )
    max_active_jobs: int = Field(20, ge=0, description="Active jobs an owner; 0: no limit.")
    max_stored_bytes: int = Field(
        10_240 * MEBIBYTE, ge=0, description="Texts, models, checkpoints an owner; 0: no limit."
    )
    max_training_minutes: float = Field(
        0.0, ge=0, description="Minutes of training an owner and day (UTC); 0: no limit."
    )
    max_requests_per_minute: int = Field(
        1200, ge=0, description="Requests a minute and key; 0: no limit."
    )
    max_wrong_keys_per_minute: int = Field(
        20, ge=0, description="Wrong keys a minute from one address; 0: no limit."
    )
    max_training_bytes: int = Field(
        4096 * MEBIBYTE, ge=1, description="Estimated memory above which a training is refused."
    )
    webhook_private_networks: bool = Field(
        False, description="Whether webhooks may reach addresses that are not public."
    )

    @field_validator("api_keys", mode="before")
    @classmethod
    def _parse_api_keys(cls, value: object) -> object:
        """`"alice:s3cret,bob:hunter2"` → `{"alice": "s3cret", "bob": "hunter2"}`."""
        if not isinstance(value, str):
            return value
        keys: dict[str, str] = {}
        for entry in filter(None, (part.strip() for part in value.split(","))):
            owner, colon, key = entry.partition(":")
            if not (owner.strip() and colon and key.strip()):
                raise ValueError("write LSTMQ_API_KEYS as owner:key,owner:key")
            keys[owner.strip()] = key.strip()
        return keys

    @field_validator("data_dir")
    @classmethod
    def _absolute(cls, value: Path) -> Path:
        return value.expanduser().resolve()

    @cached_property
    def socket_path(self) -> Path:
        """Absolute path of the embedded server's unix socket."""
        return self.data_dir / "valkey.sock"

    @property
    def effective_redis_url(self) -> str:
        """The Redis to use, the embedded one included."""
        return self.redis_url or f"unix://{self.socket_path}"

    @property
    def effective_database_url(self) -> str:
        """The database to use."""
        return self.database_url or f"sqlite:///{self.data_dir / 'lstmq.sqlite'}"

    @property
    def effective_store_url(self) -> str:
        """The artifact store to use."""
        return self.store_url or (self.data_dir / "store").as_uri()

    def check_socket_path(self) -> None:
        """Raise ValueError when the embedded server's socket path is longer than systems allow."""
        if not self.redis_url and len(str(self.socket_path).encode()) > LONGEST_SOCKET_PATH:
            raise ValueError(
                f"the socket path {self.socket_path} is longer than {LONGEST_SOCKET_PATH} bytes: "
                "choose a shorter LSTMQ_DATA_DIR, or set LSTMQ_REDIS_URL"
            )
