"""Sources of jobs that are listed in the background."""

import sqlalchemy as sa
from alembic import op
from sqlalchemy.dialects import postgresql

revision = "0029"
down_revision = "0028"
branch_labels = None
depends_on = None

TIME = postgresql.TIMESTAMP(timezone=True)


def upgrade() -> None:
    op.create_table(
        "listings",
        sa.Column("job_id", sa.UUID(), nullable=False),
        sa.Column("chunk_id", sa.UUID(), nullable=False),
        sa.Column("sources", postgresql.JSONB(), nullable=False),
        sa.Column("buckets", postgresql.ARRAY(sa.TEXT()), nullable=True),
        sa.Column("state", sa.TEXT(), server_default="waiting", nullable=False),
        sa.Column("progress", postgresql.JSONB(), nullable=True),
        sa.Column("attempts", sa.Integer(), server_default="0", nullable=False),
        sa.Column("next_at", TIME, server_default=sa.text("now()"), nullable=False),
        sa.Column("holder", sa.UUID(), nullable=True),
        sa.Column("lease_until", TIME, nullable=True),
        sa.Column("error", sa.TEXT(), nullable=True),
        sa.PrimaryKeyConstraint("job_id", name=op.f("pk_listings")),
        sa.ForeignKeyConstraint(["job_id"], ["jobs.id"], name=op.f("fk_listings_job_id"), ondelete="CASCADE"),
        sa.CheckConstraint("state IN ('waiting', 'running', 'done', 'failed', 'cancelled')", name="state"),
    )
    op.create_index(
        "ix_listings_open",
        "listings",
        ["next_at"],
        postgresql_where=sa.text("state IN ('waiting', 'running')"),
    )


def downgrade() -> None:
    op.drop_table("listings")
