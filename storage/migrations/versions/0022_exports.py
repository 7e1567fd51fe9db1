"""Exports that are made for keys of the API."""

import sqlalchemy as sa
from alembic import op
from sqlalchemy.dialects import postgresql

revision = "0022"
down_revision = "0021"
branch_labels = None
depends_on = None

TIME = postgresql.TIMESTAMP(timezone=True)


def upgrade() -> None:
    op.create_table(
        "exports",
        sa.Column("id", sa.UUID(), server_default=sa.text("uuidv7()"), nullable=False),
        sa.Column("asked_by", sa.TEXT(), nullable=False),
        sa.Column("submitter", sa.TEXT(), nullable=True),
        sa.Column("request", postgresql.JSONB(), nullable=False),
        sa.Column("state", sa.TEXT(), server_default="pending", nullable=False),
        sa.Column("attempts", sa.Integer(), server_default="0", nullable=False),
        sa.Column("lease_until", TIME, nullable=True),
        sa.Column("rows", sa.BIGINT(), server_default="0", nullable=False),
        sa.Column("size_bytes", sa.BIGINT(), server_default="0", nullable=False),
        sa.Column("error", sa.TEXT(), nullable=True),
        sa.Column("created_at", TIME, server_default=sa.text("now()"), nullable=False),
        sa.Column("finished_at", TIME, nullable=True),
        sa.PrimaryKeyConstraint("id", name=op.f("pk_exports")),
        sa.CheckConstraint("state IN ('pending', 'running', 'done', 'failed', 'deleted')", name="state"),
    )
    op.create_index("ix_exports_asked_by", "exports", ["asked_by"])


def downgrade() -> None:
    op.drop_table("exports")
