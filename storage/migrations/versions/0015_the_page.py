"""Who is signed in to the page, and what people say of verdicts."""

import sqlalchemy as sa
from alembic import op
from sqlalchemy.dialects import postgresql

revision = "0015"
down_revision = "0014"
branch_labels = None
depends_on = None

TIME = postgresql.TIMESTAMP(timezone=True)


def upgrade() -> None:
    op.create_table(
        "sessions",
        sa.Column("sha256", postgresql.BYTEA(), nullable=False),
        sa.Column("key_prefix", sa.TEXT(), nullable=False),
        sa.Column("created_at", TIME, server_default=sa.text("now()"), nullable=False),
        sa.Column("seen_at", TIME, server_default=sa.text("now()"), nullable=False),
        sa.PrimaryKeyConstraint("sha256", name=op.f("pk_sessions")),
        sa.ForeignKeyConstraint(
            ["key_prefix"], ["api_keys.prefix"], name=op.f("fk_sessions_key_prefix"), ondelete="CASCADE"
        ),
    )
    op.create_index("ix_sessions_key_prefix", "sessions", ["key_prefix"])
    op.create_table(
        "judgements",
        sa.Column("id", sa.BIGINT(), sa.Identity(always=True), nullable=False),
        sa.Column("job_id", sa.UUID(), nullable=False),
        sa.Column("ordinal", sa.Integer(), nullable=False),
        sa.Column("judgement", sa.TEXT(), nullable=False),
        sa.Column("note", sa.TEXT(), server_default="", nullable=False),
        sa.Column("judged_by", sa.TEXT(), nullable=False),
        sa.Column("judged_at", TIME, server_default=sa.text("now()"), nullable=False),
        sa.PrimaryKeyConstraint("id", name=op.f("pk_judgements")),
        sa.ForeignKeyConstraint(
            ["job_id", "ordinal"],
            ["verdicts.job_id", "verdicts.ordinal"],
            name=op.f("fk_judgements_job_id"),
            ondelete="CASCADE",
        ),
        sa.CheckConstraint("judgement IN ('true', 'false', 'unsure')", name="judgement"),
    )
    op.create_index("ix_judgements_job_id", "judgements", ["job_id", "ordinal"])


def downgrade() -> None:
    op.drop_table("judgements")
    op.drop_table("sessions")
