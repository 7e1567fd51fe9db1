"""The buckets that a key may name."""

import sqlalchemy as sa
from alembic import op
from sqlalchemy.dialects import postgresql

revision = "0008"
down_revision = "0007"
branch_labels = None
depends_on = None


def upgrade() -> None:
    op.add_column("api_keys", sa.Column("buckets", postgresql.ARRAY(sa.TEXT()), nullable=True))


def downgrade() -> None:
    op.drop_column("api_keys", "buckets")
