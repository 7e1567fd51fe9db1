"""What operators hold back, which workers drain, and who did what when."""

import sqlalchemy as sa
from alembic import op
from sqlalchemy.dialects import postgresql

from storage.migrations.older_servers import unite_nulls

revision = "0012"
down_revision = "0011"
branch_labels = None
depends_on = None

TIME = postgresql.TIMESTAMP(timezone=True)
NO_JOB = "'00000000-0000-0000-0000-000000000000'::uuid"


def upgrade() -> None:
    op.create_table(
        "pauses",
        sa.Column("id", sa.Integer(), nullable=False),
        sa.Column("priority", sa.TEXT(), nullable=True),
        sa.Column("submitter", sa.TEXT(), nullable=True),
        sa.Column("job_id", sa.UUID(), nullable=True),
        sa.Column("paused_by", sa.TEXT(), nullable=False),
        sa.Column("paused_at", TIME, server_default=sa.text("now()"), nullable=False),
        sa.PrimaryKeyConstraint("id", name=op.f("pk_pauses")),
        sa.ForeignKeyConstraint(["job_id"], ["jobs.id"], name=op.f("fk_pauses_job_id"), ondelete="CASCADE"),
        sa.CheckConstraint("priority IN ('interactive', 'bulk')", name="priority"),
        sa.CheckConstraint("num_nonnulls(priority, submitter, job_id) <= 1", name="one_subject"),
    )
    unite_nulls(
        op.get_bind(), "pauses", "uq_pauses_priority_submitter_job_id", priority="''", submitter="''", job_id=NO_JOB
    )
    op.create_table(
        "operations",
        sa.Column("id", sa.BIGINT(), sa.Identity(), nullable=False),
        sa.Column("done_at", TIME, server_default=sa.text("now()"), nullable=False),
        sa.Column("done_by", sa.TEXT(), nullable=False),
        sa.Column("action", sa.TEXT(), nullable=False),
        sa.Column("subject", sa.TEXT(), nullable=False),
        sa.Column("chunks", sa.Integer(), server_default="0", nullable=False),
        sa.PrimaryKeyConstraint("id", name=op.f("pk_operations")),
    )
    op.add_column("workers", sa.Column("draining", sa.BOOLEAN(), server_default=sa.false(), nullable=False))


def downgrade() -> None:
    op.drop_column("workers", "draining")
    op.drop_table("operations")
    op.drop_table("pauses")
