"""The log of operations: each stored in the transaction that performs it, and listed."""

from sqlalchemy import Connection, Engine, text

from starlight_vocabulary.operations import Action, Operation
from storage.database import connect_to_read


class OperationError(ValueError):
    """The subject of an operation does not exist, or cannot be changed any more; the message says what to do."""


# Inserts an operation.
RECORD_OPERATION = text("""
    INSERT INTO operations (done_by, action, subject, chunks) VALUES (:done_by, :action, :subject, :chunks)
""")


def record_operation(connection: Connection, done_by: str, action: Action, subject: object, chunks: int = 0) -> None:
    """Record, in this connection's transaction, who did what to what, and how many chunks were requeued."""
    connection.execute(
        RECORD_OPERATION, {"done_by": done_by, "action": action, "subject": str(subject), "chunks": chunks}
    )


# The latest operations.
LIST_OPERATIONS = text("""
    SELECT id, done_at, done_by, action, subject, chunks FROM operations ORDER BY id DESC LIMIT :limit
""")


def list_operations(engine: Engine, limit: int) -> list[Operation]:
    """Return the latest operations, newest first."""
    with connect_to_read(engine) as connection:
        rows = connection.execute(LIST_OPERATIONS, {"limit": limit}).mappings()
        return [Operation(**{**row, "action": Action.read(row["action"])}) for row in rows]
