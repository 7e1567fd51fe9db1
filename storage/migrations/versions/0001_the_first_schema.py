"""The first schema."""

import sqlalchemy as sa
from alembic import op
from sqlalchemy.dialects import postgresql

from storage.migrations.older_servers import drop_uuidv7, make_uuidv7

revision = "0001"
down_revision = None
branch_labels = None
depends_on = None


def upgrade() -> None:
    make_uuidv7(op.get_bind())
    op.create_table(
        "jobs",
        sa.Column("id", sa.UUID(), server_default=sa.text("uuidv7()"), nullable=False),
        sa.Column("name", sa.TEXT(), nullable=True),
        sa.Column("submitter", sa.TEXT(), nullable=False),
        sa.Column("idempotency_key", sa.TEXT(), nullable=True),
        sa.Column("priority", sa.TEXT(), nullable=False),
        sa.Column("state", sa.TEXT(), server_default="pending", nullable=False),
        sa.Column("total", sa.Integer(), nullable=False),
        sa.Column("clean", sa.Integer(), server_default="0", nullable=False),
        sa.Column("stego", sa.Integer(), server_default="0", nullable=False),
        sa.Column("error", sa.Integer(), server_default="0", nullable=False),
        sa.Column("created_at", postgresql.TIMESTAMP(timezone=True), server_default=sa.text("now()"), nullable=False),
        sa.Column("started_at", postgresql.TIMESTAMP(timezone=True), nullable=True),
        sa.Column("finished_at", postgresql.TIMESTAMP(timezone=True), nullable=True),
        sa.CheckConstraint("priority IN ('interactive', 'bulk')", name=op.f("ck_jobs_priority")),
        sa.CheckConstraint("state IN ('pending', 'running', 'done', 'cancelled')", name=op.f("ck_jobs_state")),
        sa.CheckConstraint("clean + stego + error <= total", name=op.f("ck_jobs_accounting")),
        sa.CheckConstraint("clean >= 0 AND stego >= 0 AND error >= 0", name=op.f("ck_jobs_counts")),
        sa.PrimaryKeyConstraint("id", name=op.f("pk_jobs")),
        sa.UniqueConstraint("submitter", "idempotency_key", name=op.f("uq_jobs_submitter_idempotency_key")),
    )
    op.create_index(
        "ix_jobs_open", "jobs", ["submitter"], unique=False, postgresql_where=sa.text("state IN ('pending', 'running')")
    )
    op.create_table(
        "models",
        sa.Column("id", sa.Integer(), nullable=False),
        sa.Column("name", sa.TEXT(), nullable=False),
        sa.Column("version", sa.TEXT(), nullable=False),
        sa.Column("sha256", sa.TEXT(), nullable=False),
        sa.Column("threshold", sa.REAL(), nullable=False),
        sa.Column(
            "first_seen_at", postgresql.TIMESTAMP(timezone=True), server_default=sa.text("now()"), nullable=False
        ),
        sa.PrimaryKeyConstraint("id", name=op.f("pk_models")),
        sa.UniqueConstraint(
            "sha256", "name", "version", "threshold", name=op.f("uq_models_sha256_name_version_threshold")
        ),
    )
    op.create_table(
        "chunks",
        sa.Column("id", sa.UUID(), server_default=sa.text("uuidv7()"), nullable=False),
        sa.Column("job_id", sa.UUID(), nullable=False),
        sa.Column("submitter", sa.TEXT(), nullable=False),
        sa.Column("priority", sa.TEXT(), nullable=False),
        sa.Column("first_ordinal", sa.Integer(), nullable=False),
        sa.Column("refs", postgresql.ARRAY(sa.TEXT()), nullable=False),
        sa.Column("state", sa.TEXT(), server_default="pending", nullable=False),
        sa.Column("attempt", sa.Integer(), server_default="0", nullable=False),
        sa.Column("losses", sa.Integer(), server_default="0", nullable=False),
        sa.Column("worker", sa.TEXT(), nullable=True),
        sa.Column("dispatched_at", postgresql.TIMESTAMP(timezone=True), nullable=True),
        sa.Column("lease_until", postgresql.TIMESTAMP(timezone=True), nullable=True),
        sa.CheckConstraint(
            "state IN ('pending', 'dispatched', 'running', 'done', 'cancelled')", name=op.f("ck_chunks_state")
        ),
        sa.CheckConstraint("cardinality(refs) > 0", name=op.f("ck_chunks_refs")),
        sa.ForeignKeyConstraint(["job_id"], ["jobs.id"], name=op.f("fk_chunks_job_id"), ondelete="CASCADE"),
        sa.PrimaryKeyConstraint("id", name=op.f("pk_chunks")),
        sa.UniqueConstraint("job_id", "first_ordinal", name=op.f("uq_chunks_job_id_first_ordinal")),
    )
    op.create_index(
        "ix_chunks_in_flight",
        "chunks",
        ["state", "priority", "submitter"],
        unique=False,
        postgresql_where=sa.text("state IN ('dispatched', 'running')"),
    )
    op.create_index(
        "ix_chunks_pending",
        "chunks",
        ["priority", "submitter", "job_id", "first_ordinal"],
        unique=False,
        postgresql_where=sa.text("state = 'pending'"),
    )
    op.create_table(
        "verdicts",
        sa.Column("job_id", sa.UUID(), nullable=False),
        sa.Column("ordinal", sa.Integer(), nullable=False),
        sa.Column("uri", sa.TEXT(), nullable=False),
        sa.Column("outcome", sa.TEXT(), nullable=False),
        sa.Column("sha256", postgresql.BYTEA(), nullable=True),
        sa.Column("stego_probability", sa.REAL(), nullable=True),
        sa.Column("method", sa.TEXT(), nullable=True),
        sa.Column("bit_order", sa.TEXT(), nullable=True),
        sa.Column("extracted_message", sa.TEXT(), nullable=True),
        sa.Column("error_code", sa.TEXT(), nullable=True),
        sa.Column("error_detail", sa.TEXT(), nullable=True),
        sa.Column("model_id", sa.Integer(), nullable=True),
        sa.Column("width", sa.Integer(), nullable=True),
        sa.Column("height", sa.Integer(), nullable=True),
        sa.Column("format", sa.TEXT(), nullable=True),
        sa.Column("size_bytes", sa.BIGINT(), nullable=True),
        sa.Column("scanned_at", postgresql.TIMESTAMP(timezone=True), server_default=sa.text("now()"), nullable=False),
        sa.CheckConstraint("(outcome = 'error') = (error_code IS NOT NULL)", name=op.f("ck_verdicts_error_code")),
        sa.CheckConstraint("method IN ('alpha', 'palette', 'lsb.rgb', 'exif', 'raw')", name=op.f("ck_verdicts_method")),
        sa.CheckConstraint(
            "outcome = 'error' OR (stego_probability IS NOT NULL AND model_id IS NOT NULL AND sha256 IS NOT NULL)",
            name=op.f("ck_verdicts_explained"),
        ),
        sa.CheckConstraint("outcome IN ('clean', 'stego', 'error')", name=op.f("ck_verdicts_outcome")),
        sa.ForeignKeyConstraint(["job_id"], ["jobs.id"], name=op.f("fk_verdicts_job_id"), ondelete="CASCADE"),
        sa.ForeignKeyConstraint(["model_id"], ["models.id"], name=op.f("fk_verdicts_model_id")),
        sa.PrimaryKeyConstraint("job_id", "ordinal", name=op.f("pk_verdicts")),
    )
    op.create_index(
        "ix_verdicts_found",
        "verdicts",
        ["outcome", "method", "scanned_at"],
        unique=False,
        postgresql_where=sa.text("outcome <> 'clean'"),
    )
    op.create_index("ix_verdicts_scanned_at", "verdicts", ["scanned_at"], unique=False)
    op.create_index("ix_verdicts_sha256", "verdicts", ["sha256"], unique=False)
    op.create_table(
        "workers",
        sa.Column("name", sa.TEXT(), nullable=False),
        sa.Column("device", sa.TEXT(), nullable=False),
        sa.Column("model_id", sa.Integer(), nullable=False),
        sa.Column("started_at", postgresql.TIMESTAMP(timezone=True), server_default=sa.text("now()"), nullable=False),
        sa.Column("seen_at", postgresql.TIMESTAMP(timezone=True), server_default=sa.text("now()"), nullable=False),
        sa.ForeignKeyConstraint(["model_id"], ["models.id"], name=op.f("fk_workers_model_id")),
        sa.PrimaryKeyConstraint("name", name=op.f("pk_workers")),
    )


def downgrade() -> None:
    op.drop_table("workers")
    op.drop_index("ix_verdicts_sha256", table_name="verdicts")
    op.drop_index("ix_verdicts_scanned_at", table_name="verdicts")
    op.drop_index("ix_verdicts_found", table_name="verdicts", postgresql_where=sa.text("outcome <> 'clean'"))
    op.drop_table("verdicts")
    op.drop_index("ix_chunks_pending", table_name="chunks", postgresql_where=sa.text("state = 'pending'"))
    op.drop_index(
        "ix_chunks_in_flight", table_name="chunks", postgresql_where=sa.text("state IN ('dispatched', 'running')")
    )
    op.drop_table("chunks")
    op.drop_table("models")
    op.drop_index("ix_jobs_open", table_name="jobs", postgresql_where=sa.text("state IN ('pending', 'running')"))
    op.drop_table("jobs")
    drop_uuidv7(op.get_bind())
