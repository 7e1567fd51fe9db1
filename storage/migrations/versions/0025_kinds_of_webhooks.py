"""Webhooks in Stargate's form: one message an image, and how many of them are delivered."""

import sqlalchemy as sa
from alembic import op

revision = "0025"
down_revision = "0024"
branch_labels = None
depends_on = None


def upgrade() -> None:
    op.add_column("webhooks", sa.Column("kind", sa.TEXT(), server_default="standard", nullable=False))
    op.add_column("webhooks", sa.Column("sent", sa.Integer(), server_default="0", nullable=False))
    op.create_check_constraint("kind", "webhooks", "kind IN ('standard', 'stargate')")


def downgrade() -> None:
    op.drop_constraint(op.f("ck_webhooks_kind"), "webhooks")
    op.drop_column("webhooks", "sent")
    op.drop_column("webhooks", "kind")
