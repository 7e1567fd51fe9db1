"""Canaries: jobs of known images, and what came of each round of them."""

import sqlalchemy as sa
from alembic import op
from sqlalchemy.dialects import postgresql

revision = "0017"
down_revision = "0016"
branch_labels = None
depends_on = None

TIME = postgresql.TIMESTAMP(timezone=True)
NO_CANARY = "job_id <> ALL (ARRAY(SELECT jobs.id FROM jobs WHERE jobs.canary))"
# Of each view of analysts, what is replaced by what, so that it leaves canaries out.
LEFT_OUT = {
    "verdict": ("FROM verdicts JOIN jobs ON jobs.id", "FROM verdicts JOIN jobs ON NOT jobs.canary AND jobs.id"),
    "job_summary": ("AS lasted", "AS lasted WHERE NOT jobs.canary"),
    "daily_verdicts": ("FROM verdicts WHERE", f"FROM verdicts WHERE verdicts.{NO_CANARY} AND"),
    "image_history": ("WHERE verdicts.sha256", "WHERE NOT jobs.canary AND verdicts.sha256"),
    "method_by_submitter": ("WHERE outcome", "WHERE NOT jobs.canary AND outcome"),
    "model_comparison": (
        "WHERE verdicts.outcome <> 'error'",
        f"WHERE verdicts.{NO_CANARY} AND earlier.{NO_CANARY} AND verdicts.outcome <> 'error'",
    ),
}


def upgrade() -> None:
    op.add_column("jobs", sa.Column("canary", sa.BOOLEAN(), server_default=sa.text("false"), nullable=False))
    op.create_index("ix_jobs_canary", "jobs", ["id"], postgresql_where=sa.text("canary"))
    op.create_table(
        "canary_rounds",
        sa.Column("id", sa.BIGINT(), sa.Identity(always=True), nullable=False),
        sa.Column("seed", sa.BIGINT(), nullable=False),
        sa.Column("started_at", TIME, server_default=sa.text("now()"), nullable=False),
        sa.Column("ended_at", TIME, nullable=True),
        sa.Column("result", sa.TEXT(), nullable=True),
        sa.Column("answers", postgresql.JSONB(), server_default="[]", nullable=False),
        sa.PrimaryKeyConstraint("id", name=op.f("pk_canary_rounds")),
        sa.CheckConstraint("(ended_at IS NULL) = (result IS NULL)", name=op.f("ck_canary_rounds_ended")),
    )
    op.create_index(
        "uq_canary_rounds_open",
        "canary_rounds",
        [sa.text("(ended_at IS NULL)")],
        unique=True,
        postgresql_where=sa.text("ended_at IS NULL"),
    )
    op.create_index("ix_canary_rounds_result", "canary_rounds", ["result", "ended_at"])
    for name, statement in read_views().items():
        whole, without_canaries = LEFT_OUT[name]
        assert statement.count(whole) == 1, name
        op.execute(statement.replace("CREATE VIEW", "CREATE OR REPLACE VIEW").replace(whole, without_canaries))


def downgrade() -> None:
    for statement in read_views().values():
        op.execute(statement.replace("CREATE VIEW", "CREATE OR REPLACE VIEW"))
    op.drop_table("canary_rounds")
    op.drop_index("ix_jobs_canary", "jobs")
    op.drop_column("jobs", "canary")


def read_views() -> dict[str, str]:
    """Return the views of analysts as the migration that brought them has them."""
    script = op.get_context().script
    assert script is not None
    views: dict[str, str] = script.get_revision("0014").module.VIEWS
    return views
