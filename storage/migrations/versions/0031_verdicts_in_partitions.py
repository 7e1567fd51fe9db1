"""Verdicts in partitions by the month in which their job was submitted."""

from alembic import op

from storage.migrations.partitioning import partition_verdicts, unite_verdicts

revision = "0031"
down_revision = "0030"
branch_labels = None
depends_on = None


def upgrade() -> None:
    # In transactions of its own, as short as can be; what one that was interrupted did is found by the next.
    with op.get_context().autocommit_block():
        partition_verdicts(op.get_bind().engine)


def downgrade() -> None:
    with op.get_context().autocommit_block():
        unite_verdicts(op.get_bind().engine)
