"""Who of the operators did what when: stored in the transaction that does it, and listed."""

from sqlalchemy import Connection, Engine, text

from starlight_vocabulary.operations import Action, Operation
from storage.database import connect_to_read


class OperationError(ValueError):
    """An operation on what is not there, or cannot be changed any more; the message says which and what to do."""


# That something was done.
RECORD_OPERATION = text("""
    INSERT INTO operations (done_by, action, subject, chunks) VALUES (:done_by, :action, :subject, :chunks)
""")


def record_operation(connection: Connection, done_by: str, action: Action, subject: object, chunks: int = 0) -> None:
    """Store, in the transaction of this connection, who did what to what, and how many chunks went back."""
    connection.execute(
        RECORD_OPERATION, {"done_by": done_by, "action": action, "subject": str(subject), "chunks": chunks}
    )


# The newest operations.
LIST_OPERATIONS = text("""
    SELECT id, done_at, done_by, action, subject, chunks FROM operations ORDER BY id DESC LIMIT :limit
""")


def list_operations(engine: Engine, limit: int) -> list[Operation]:
    """Return the newest operations, newest first."""
    with connect_to_read(engine) as connection:
        rows = connection.execute(LIST_OPERATIONS, {"limit": limit}).mappings()
        return [Operation(**{**row, "action": Action.read(row["action"])}) for row in rows]
