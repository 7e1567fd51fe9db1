"""Lone chunks are dispatched together: which of them share a message."""

import sqlalchemy as sa
from alembic import op

revision = "0024"
down_revision = "0023"
branch_labels = None
depends_on = None


def upgrade() -> None:
    op.add_column("chunks", sa.Column("message_id", sa.UUID(), nullable=True))


def downgrade() -> None:
    op.drop_column("chunks", "message_id")
