"""The trace of the submission, with each chunk."""

import sqlalchemy as sa
from alembic import op

revision = "0016"
down_revision = "0015"
branch_labels = None
depends_on = None


def upgrade() -> None:
    op.add_column("chunks", sa.Column("traceparent", sa.TEXT(), nullable=True))


def downgrade() -> None:
    op.drop_column("chunks", "traceparent")
