"""Versions of objects in buckets as they were listed, and the job that others are compared with."""

import sqlalchemy as sa
from alembic import op
from sqlalchemy.dialects import postgresql

revision = "0027"
down_revision = "0026"
branch_labels = None
depends_on = None


def upgrade() -> None:
    op.add_column("chunks", sa.Column("versions", postgresql.ARRAY(sa.TEXT()), nullable=True))
    op.add_column("jobs", sa.Column("since", sa.UUID(), nullable=True))


def downgrade() -> None:
    op.drop_column("jobs", "since")
    op.drop_column("chunks", "versions")
