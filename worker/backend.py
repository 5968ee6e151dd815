"""What every function of the contract works on: settings, records, artifacts and the live side.

Opening one starts no process. A backend belongs to the process that opened it: after a fork, the
child opens its own.
"""

from dataclasses import dataclass, field
from pathlib import Path

from worker.asks import Asks
from worker.database import Database
from worker.live import Live
from worker.queue import Doorbell
from worker.scheduling import Places
from worker.settings import Settings
from worker.store import ArtifactStore


@dataclass(frozen=True)
class Backend:
    """The three kinds of state, each in the tool made for it."""

    settings: Settings
    database: Database  # the truth
    store: ArtifactStore  # immutable files
    live: Live  # may vanish at any moment
    doorbell: Doorbell  # may ring twice or not at all
    asks: Asks  # questions to predictors, likewise
    places: Places = field(default_factory=Places)  # in the queue, as last counted

    def token_ids(self, dataset: str) -> Path:
        """Where this machine keeps a text's token ids while it is trained on; may be removed."""
        return self.settings.data_dir / "token-ids" / dataset

    def close(self) -> None:
        """Let go of every connection."""
        self.asks.close()
        self.live.close()
        self.database.close()


def open_backend(
    settings: Settings | None = None, *, pooled: bool = True, migrate: bool = True
) -> Backend:
    """Open everything and bring the database's tables up to date.

    `pooled=False` holds no database connection between uses, for a process that will fork.
    `migrate=False` takes the tables as they are, for a part of a process that has looked already:
    they may be a newer release's by now, beside which it goes on until it is replaced.
    """
    settings = settings or Settings()
    settings.data_dir.mkdir(parents=True, exist_ok=True, mode=0o700)
    database = Database(settings.effective_database_url, pooled=pooled)
    if migrate:
        database.migrate()
    doorbell = Doorbell(settings)
    return Backend(
        settings=settings,
        database=database,
        store=ArtifactStore(settings.effective_store_url),
        live=Live(settings.effective_redis_url),
        doorbell=doorbell,
        asks=Asks(settings.effective_redis_url, doorbell),
    )
