"""Images that are put off, jobs that retry others, and the outbox of webhooks."""

import sqlalchemy as sa
from alembic import op
from sqlalchemy.dialects import postgresql

revision = "0003"
down_revision = "0002"
branch_labels = None
depends_on = None


def upgrade() -> None:
    op.add_column("chunks", sa.Column("tries", sa.Integer(), server_default="0", nullable=False))
    op.add_column("chunks", sa.Column("not_before", postgresql.TIMESTAMP(timezone=True), nullable=True))
    op.add_column("jobs", sa.Column("retry_of", sa.UUID(), nullable=True))
    op.create_foreign_key(op.f("fk_jobs_retry_of"), "jobs", "jobs", ["retry_of"], ["id"], ondelete="SET NULL")
    op.create_index(
        "ix_jobs_retry_of", "jobs", ["retry_of"], unique=False, postgresql_where=sa.text("retry_of IS NOT NULL")
    )
    op.create_table(
        "webhooks",
        sa.Column("job_id", sa.UUID(), nullable=False),
        sa.Column("url", sa.TEXT(), nullable=False),
        sa.Column("attempts", sa.Integer(), server_default="0", nullable=False),
        sa.Column(
            "next_attempt_at", postgresql.TIMESTAMP(timezone=True), server_default=sa.text("now()"), nullable=False
        ),
        sa.Column("delivered_at", postgresql.TIMESTAMP(timezone=True), nullable=True),
        sa.Column("given_up_at", postgresql.TIMESTAMP(timezone=True), nullable=True),
        sa.Column("last_error", sa.TEXT(), nullable=True),
        sa.ForeignKeyConstraint(["job_id"], ["jobs.id"], name=op.f("fk_webhooks_job_id"), ondelete="CASCADE"),
        sa.PrimaryKeyConstraint("job_id", name=op.f("pk_webhooks")),
    )
    op.create_index(
        "ix_webhooks_open",
        "webhooks",
        ["next_attempt_at"],
        unique=False,
        postgresql_where=sa.text("delivered_at IS NULL AND given_up_at IS NULL"),
    )


def downgrade() -> None:
    op.drop_table("webhooks")
    op.drop_column("jobs", "retry_of")
    op.drop_column("chunks", "not_before")
    op.drop_column("chunks", "tries")
