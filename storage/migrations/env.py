"""Alembic's entry: runs the migrations on the engine that `storage.schema_version` hands over."""

from alembic import context

from storage.schema import METADATA

engine = context.config.attributes["engine"]
with engine.connect() as connection:
    context.configure(connection=connection, target_metadata=METADATA)
    with context.begin_transaction():
        context.run_migrations()
