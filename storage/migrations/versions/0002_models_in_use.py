"""Models that were added and are in use; a threshold for each job."""

import sqlalchemy as sa
from alembic import op
from sqlalchemy.dialects import postgresql

revision = "0002"
down_revision = "0001"
branch_labels = None
depends_on = None


def upgrade() -> None:
    op.add_column("models", sa.Column("card", postgresql.JSONB(), nullable=True))
    op.create_table(
        "model_uses",
        sa.Column("id", sa.Integer(), nullable=False),
        sa.Column("model_id", sa.Integer(), nullable=True),
        sa.Column("used_by", sa.TEXT(), nullable=False),
        sa.Column("used_at", postgresql.TIMESTAMP(timezone=True), server_default=sa.text("now()"), nullable=False),
        sa.ForeignKeyConstraint(["model_id"], ["models.id"], name=op.f("fk_model_uses_model_id")),
        sa.PrimaryKeyConstraint("id", name=op.f("pk_model_uses")),
    )
    op.add_column("jobs", sa.Column("threshold", sa.DOUBLE_PRECISION(), nullable=True))
    op.create_check_constraint(op.f("ck_jobs_threshold"), "jobs", "threshold > 0 AND threshold < 1")


def downgrade() -> None:
    op.drop_column("jobs", "threshold")
    op.drop_table("model_uses")
    op.drop_column("models", "card")
