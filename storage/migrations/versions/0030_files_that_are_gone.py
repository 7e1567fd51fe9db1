"""Files of watches that are gone."""

import sqlalchemy as sa
from alembic import op
from sqlalchemy.dialects import postgresql

revision = "0030"
down_revision = "0029"
branch_labels = None
depends_on = None

TIME = postgresql.TIMESTAMP(timezone=True)


def upgrade() -> None:
    op.add_column("watches", sa.Column("compared_at", TIME, nullable=True))
    op.add_column("watched_files", sa.Column("absent_since", TIME, nullable=True))
    op.execute("""
        UPDATE watched_files SET absent_since = now()
        FROM watches WHERE watches.id = watch_id AND starts_with(source, 'bitcoin')
    """)


def downgrade() -> None:
    op.drop_column("watched_files", "absent_since")
    op.drop_column("watches", "compared_at")
