"""Alembic's entry: runs the migrations on the engine that `storage.schema_version` hands over."""

import re

from alembic import context

from storage.schema import METADATA


def is_described(name: str | None, kind: str, _: object) -> bool:
    """Return whether the schema in the code says what this is to be.

    Partitions follow their table. What refers to them has a constraint for each, named by the server.
    """
    leaves_out = {"table": r"verdicts_", "foreign_key_constraint": r"(?!fk_)|.*_\d+$"}
    return name is None or kind not in leaves_out or not re.match(leaves_out[kind], name)


engine = context.config.attributes["engine"]
with engine.connect() as connection:
    context.configure(connection=connection, target_metadata=METADATA, include_name=is_described)
    with context.begin_transaction():
        context.run_migrations()
