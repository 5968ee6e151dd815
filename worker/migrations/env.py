"""Runs migrations on the connection that worker.database hands over."""

from alembic import context

from worker.database import metadata

context.configure(connection=context.config.attributes["connection"], target_metadata=metadata)
with context.begin_transaction():
    context.run_migrations()
