"""Alembic's entry point: runs the migrations on the engine from `storage.schema_version`."""

import re

from alembic import context

from storage.schema import METADATA


def is_described(name: str | None, kind: str, _: object) -> bool:
    """Return whether to compare this object with the schema in the code.

    Partitions follow their table; foreign keys to them have constraints that the server names.
    """
    leaves_out = {"table": r"verdicts_", "foreign_key_constraint": r"(?!fk_)|.*_\d+$"}
    return name is None or kind not in leaves_out or not re.match(leaves_out[kind], name)


engine = context.config.attributes["engine"]
with engine.connect() as connection:
    context.configure(connection=connection, target_metadata=METADATA, include_name=is_described)
    with context.begin_transaction():
        context.run_migrations()
