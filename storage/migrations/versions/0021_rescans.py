"""Jobs that scan again what an older model judged."""

import sqlalchemy as sa
from alembic import op

revision = "0021"
down_revision = "0020"
branch_labels = None
depends_on = None

# The view as 0014 and 0017 made it, and what it gets at its end.
JOB_SUMMARY = """
    CREATE {or_replace} VIEW job_summary AS
    SELECT id AS job_id, name AS job_name, submitter, priority, state, total, clean, stego, error,
        total - clean - stego - error AS waiting, threshold, retry_of, created_at, started_at, finished_at,
        seconds, 60 * (clean + stego + error) / nullif(seconds, 0) AS images_per_minute {more}
    FROM jobs, LATERAL (
        SELECT CAST(extract(epoch FROM coalesce(finished_at, now()) - started_at) AS float8) AS seconds
    ) AS lasted WHERE NOT jobs.canary
"""


def upgrade() -> None:
    op.add_column("jobs", sa.Column("anew", sa.BOOLEAN(), server_default=sa.false(), nullable=False))
    op.add_column("jobs", sa.Column("rescan_of", sa.UUID(), nullable=True))
    op.create_foreign_key(op.f("fk_jobs_rescan_of"), "jobs", "jobs", ["rescan_of"], ["id"], ondelete="SET NULL")
    op.create_index("ix_jobs_rescan_of", "jobs", ["rescan_of"], postgresql_where=sa.text("rescan_of IS NOT NULL"))
    op.execute(JOB_SUMMARY.format(or_replace="OR REPLACE", more=", rescan_of"))


def downgrade() -> None:
    op.execute("DROP VIEW job_summary")
    op.drop_index("ix_jobs_rescan_of", "jobs")
    op.drop_column("jobs", "rescan_of")
    op.drop_column("jobs", "anew")
    op.execute(JOB_SUMMARY.format(or_replace="", more=""))
