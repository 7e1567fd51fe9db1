"""What the verdicts of a job were when it ended."""

import sqlalchemy as sa
from alembic import op
from sqlalchemy.dialects import postgresql

revision = "0020"
down_revision = "0019"
branch_labels = None
depends_on = None

TIME = postgresql.TIMESTAMP(timezone=True)


def upgrade() -> None:
    op.create_table(
        "seals",
        sa.Column("job_id", sa.UUID(), nullable=False),
        sa.Column("root", postgresql.BYTEA(), nullable=False),
        sa.Column("verdicts", sa.Integer(), nullable=False),
        sa.Column("sealed_at", TIME, server_default=sa.text("now()"), nullable=False),
        sa.PrimaryKeyConstraint("job_id", name=op.f("pk_seals")),
        sa.ForeignKeyConstraint(["job_id"], ["jobs.id"], name=op.f("fk_seals_job_id"), ondelete="CASCADE"),
    )
    op.create_table(
        "seal_pieces",
        sa.Column("job_id", sa.UUID(), nullable=False),
        sa.Column("first_ordinal", sa.Integer(), autoincrement=False, nullable=False),
        sa.Column("digest", postgresql.BYTEA(), nullable=False),
        sa.Column("leaves", postgresql.BYTEA(), nullable=False),
        sa.PrimaryKeyConstraint("job_id", "first_ordinal", name=op.f("pk_seal_pieces")),
        sa.ForeignKeyConstraint(["job_id"], ["jobs.id"], name=op.f("fk_seal_pieces_job_id"), ondelete="CASCADE"),
    )
    # Null in jobs that ended before there were seals: nobody knows what their verdicts were.
    op.add_column("jobs", sa.Column("sealed", sa.BOOLEAN(), nullable=True))
    op.alter_column("jobs", "sealed", server_default=sa.false())
    op.execute("UPDATE jobs SET sealed = false WHERE state IN ('pending', 'running')")
    op.create_index(
        "ix_jobs_unsealed", "jobs", ["finished_at"], postgresql_where=sa.text("NOT sealed AND finished_at IS NOT NULL")
    )


def downgrade() -> None:
    op.drop_index("ix_jobs_unsealed", "jobs")
    op.drop_column("jobs", "sealed")
    op.drop_table("seal_pieces")
    op.drop_table("seals")
