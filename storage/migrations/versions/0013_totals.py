"""Running totals for metrics."""

import sqlalchemy as sa
from alembic import op

revision = "0013"
down_revision = "0012"
branch_labels = None
depends_on = None

# What metrics have counted so far. Everything else starts at 0.
TAKE_OVER = """
    INSERT INTO totals (name, label, shard, value)
    SELECT name, label, 0, value FROM (
        SELECT sum(total) AS total, sum(clean) AS clean, sum(stego) AS stego, sum(error) AS error FROM jobs
    ) AS counted, LATERAL (VALUES
        ('images_submitted', '', total), ('images_finished', 'clean', clean), ('images_finished', 'stego', stego),
        ('images_finished', 'error', error)
    ) AS listed (name, label, value)
    WHERE value > 0
"""


def upgrade() -> None:
    op.create_table(
        "totals",
        sa.Column("name", sa.TEXT(), nullable=False),
        sa.Column("label", sa.TEXT(), nullable=False),
        sa.Column("shard", sa.Integer(), nullable=False),
        sa.Column("value", sa.BIGINT(), nullable=False),
        sa.PrimaryKeyConstraint("name", "label", "shard", name=op.f("pk_totals")),
        postgresql_with={"fillfactor": 50},
    )
    op.create_table(
        "recent_images",
        sa.Column("slot", sa.Integer(), autoincrement=False, nullable=False),
        sa.Column("shard", sa.Integer(), autoincrement=False, nullable=False),
        sa.Column("period", sa.BIGINT(), nullable=False),
        sa.Column("images", sa.BIGINT(), nullable=False),
        sa.PrimaryKeyConstraint("slot", "shard", name=op.f("pk_recent_images")),
        postgresql_with={"fillfactor": 50},
    )
    op.create_index(
        "ix_jobs_unaccounted",
        "jobs",
        ["id"],
        postgresql_where=sa.text("state IN ('done', 'cancelled') AND clean + stego + error <> total"),
    )
    op.add_column("chunks", sa.Column("images", sa.Integer(), nullable=True))
    op.execute(TAKE_OVER)


def downgrade() -> None:
    op.drop_column("chunks", "images")
    op.drop_index("ix_jobs_unaccounted", "jobs")
    op.drop_table("recent_images")
    op.drop_table("totals")
