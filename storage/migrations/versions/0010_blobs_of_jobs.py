"""Which jobs need which blobs, so that those that none needs any more can be deleted."""

import sqlalchemy as sa
from alembic import op
from sqlalchemy.dialects import postgresql

revision = "0010"
down_revision = "0009"
branch_labels = None
depends_on = None

TIME = postgresql.TIMESTAMP(timezone=True)

# What earlier jobs stored, as their references name it; sizes are known of what was scanned.
FIND_BLOBS = """
    CREATE TEMPORARY TABLE found ON COMMIT DROP AS
    SELECT DISTINCT job_id, submitter, decode(substring(uri FROM 8 FOR 64), 'hex') AS sha256
    FROM chunks, unnest(refs) AS uri WHERE uri ~ '^blob://[0-9a-f]{64}/'
"""
LIST_BLOBS = """
    INSERT INTO blobs (sha256, size_bytes)
    SELECT sha256, coalesce((SELECT max(size_bytes) FROM verdicts WHERE verdicts.sha256 = found.sha256), 0)
    FROM found GROUP BY sha256
"""
KEEP_BLOBS = "INSERT INTO job_blobs (job_id, sha256) SELECT job_id, sha256 FROM found"
MARK_JOBS = "UPDATE jobs SET kept_blobs = 'all' WHERE id IN (SELECT job_id FROM found)"
COUNT_BYTES = """
    INSERT INTO submitters (name, stored_bytes)
    SELECT submitter, sum(size_bytes) FROM found JOIN blobs USING (sha256) GROUP BY submitter
"""


def upgrade() -> None:
    op.add_column("jobs", sa.Column("kept_blobs", sa.TEXT(), server_default="none", nullable=False))
    op.create_check_constraint("kept_blobs", "jobs", "kept_blobs IN ('all', 'evidence', 'none')")
    op.create_index(
        "ix_jobs_kept_blobs", "jobs", ["kept_blobs", "finished_at"], postgresql_where=sa.text("kept_blobs <> 'none'")
    )
    op.create_table(
        "uploads",
        sa.Column("job_id", sa.UUID(), server_default=sa.text("uuidv7()"), nullable=False),
        sa.Column("submitter", sa.TEXT(), nullable=False),
        sa.Column("idempotency_key", sa.TEXT(), nullable=True),
        sa.Column("expires_at", TIME, nullable=False),
        sa.PrimaryKeyConstraint("job_id", name=op.f("pk_uploads")),
        sa.UniqueConstraint("submitter", "idempotency_key", name=op.f("uq_uploads_submitter_idempotency_key")),
    )
    op.create_index("ix_uploads_expires_at", "uploads", ["expires_at"])
    op.create_table(
        "blobs",
        sa.Column("sha256", postgresql.BYTEA(), nullable=False),
        sa.Column("size_bytes", sa.BIGINT(), nullable=False),
        sa.Column("released_at", TIME, nullable=True),
        sa.PrimaryKeyConstraint("sha256", name=op.f("pk_blobs")),
    )
    op.create_index(
        "ix_blobs_released_at", "blobs", ["released_at"], postgresql_where=sa.text("released_at IS NOT NULL")
    )
    op.create_table(
        "job_blobs",
        sa.Column("job_id", sa.UUID(), nullable=False),
        sa.Column("sha256", postgresql.BYTEA(), nullable=False),
        sa.PrimaryKeyConstraint("job_id", "sha256", name=op.f("pk_job_blobs")),
        sa.ForeignKeyConstraint(["sha256"], ["blobs.sha256"], name=op.f("fk_job_blobs_sha256")),
    )
    op.create_index("ix_job_blobs_sha256", "job_blobs", ["sha256"])
    op.create_table(
        "submitters",
        sa.Column("name", sa.TEXT(), nullable=False),
        sa.Column("stored_bytes", sa.BIGINT(), server_default="0", nullable=False),
        sa.PrimaryKeyConstraint("name", name=op.f("pk_submitters")),
        sa.CheckConstraint("stored_bytes >= 0", name="stored_bytes"),
    )
    for statement in (FIND_BLOBS, LIST_BLOBS, KEEP_BLOBS, MARK_JOBS, COUNT_BYTES):
        op.execute(statement)


def downgrade() -> None:
    for table in ("submitters", "job_blobs", "blobs", "uploads"):
        op.drop_table(table)
    op.drop_index("ix_jobs_kept_blobs", "jobs")
    op.drop_constraint(op.f("ck_jobs_kept_blobs"), "jobs")
    op.drop_column("jobs", "kept_blobs")
