"""Verdicts in the order in which they were stored."""

import sqlalchemy as sa
from alembic import op

revision = "0006"
down_revision = "0005"
branch_labels = None
depends_on = None


def upgrade() -> None:
    op.add_column("verdicts", sa.Column("landed", sa.Integer(), nullable=True))
    op.execute("""
        UPDATE verdicts SET landed = placed.place
        FROM (
            SELECT job_id, ordinal, rank() OVER (PARTITION BY job_id ORDER BY scanned_at) - 1 AS place FROM verdicts
        ) AS placed
        WHERE verdicts.job_id = placed.job_id AND verdicts.ordinal = placed.ordinal
    """)
    op.alter_column("verdicts", "landed", nullable=False)
    op.create_index("ix_verdicts_landed", "verdicts", ["job_id", "landed", "ordinal"], unique=False)


def downgrade() -> None:
    op.drop_index("ix_verdicts_landed", table_name="verdicts")
    op.drop_column("verdicts", "landed")
