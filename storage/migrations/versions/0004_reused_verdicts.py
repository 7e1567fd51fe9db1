"""Verdicts that are reused, found by their bytes and model."""

import sqlalchemy as sa
from alembic import op

revision = "0004"
down_revision = "0003"
branch_labels = None
depends_on = None


def upgrade() -> None:
    op.add_column("verdicts", sa.Column("reused", sa.Boolean(), server_default=sa.text("false"), nullable=False))
    op.create_index("ix_verdicts_bytes", "verdicts", ["sha256", "model_id"])
    op.drop_index("ix_verdicts_sha256", "verdicts")


def downgrade() -> None:
    op.create_index("ix_verdicts_sha256", "verdicts", ["sha256"])
    op.drop_index("ix_verdicts_bytes", "verdicts")
    op.drop_column("verdicts", "reused")
