"""By whom verdicts were made."""

import sqlalchemy as sa
from alembic import op

revision = "0019"
down_revision = "0018"
branch_labels = None
depends_on = None

# The view as 0014 and 0017 made it, and what it gets at its end.
MODEL = "models.name || '-' || models.version || '@sha256:' || models.sha256"
VERDICT = f"""
    CREATE {{or_replace}} VIEW verdict AS
    SELECT verdicts.job_id, verdicts.ordinal, jobs.name AS job_name, jobs.submitter, verdicts.uri, verdicts.sha256,
        verdicts.outcome,
        CASE WHEN verdicts.stego_probability IS NOT NULL THEN verdicts.outcome = 'stego' END AS is_stego,
        verdicts.stego_probability, greatest(verdicts.stego_probability, 1 - verdicts.stego_probability) AS confidence,
        CASE WHEN verdicts.stego_probability IS NOT NULL THEN verdicts.outcome END AS prediction,
        verdicts.method AS stego_type, verdicts.bit_order, verdicts.extracted_message, verdicts.error_code,
        verdicts.error_detail, {MODEL} AS model,
        CASE WHEN models.id IS NOT NULL THEN coalesce(jobs.threshold, models.threshold) END AS threshold,
        verdicts.width, verdicts.height, verdicts.format, verdicts.size_bytes, verdicts.reused, verdicts.scanned_at,
        verdicts.payload {{more}}
    FROM verdicts JOIN jobs ON NOT jobs.canary AND jobs.id = verdicts.job_id
        LEFT JOIN models ON models.id = verdicts.model_id {{joined}}
"""
BEFORE = VERDICT.format(or_replace="", more="", joined="")
AFTER = VERDICT.format(
    or_replace="OR REPLACE",
    more=", provenance.worker, split_part(provenance.worker, '@', 1) AS device, provenance.code_version,"
    " provenance.attempt",
    joined="LEFT JOIN provenance ON provenance.job_id = verdicts.job_id AND provenance.landed = verdicts.landed",
)


def upgrade() -> None:
    op.create_table(
        "provenance",
        sa.Column("job_id", sa.UUID(), nullable=False),
        sa.Column("landed", sa.Integer(), autoincrement=False, nullable=False),
        sa.Column("worker", sa.TEXT(), nullable=False),
        sa.Column("code_version", sa.TEXT(), nullable=False),
        sa.Column("attempt", sa.Integer(), nullable=False),
        sa.PrimaryKeyConstraint("job_id", "landed", name=op.f("pk_provenance")),
        sa.ForeignKeyConstraint(["job_id"], ["jobs.id"], name=op.f("fk_provenance_job_id"), ondelete="CASCADE"),
    )
    op.execute(AFTER)


def downgrade() -> None:
    op.execute("DROP VIEW verdict")
    op.drop_table("provenance")
    op.execute(BEFORE)
