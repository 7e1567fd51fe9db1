"""Which code works on this schema."""

import sqlalchemy as sa
from alembic import op

revision = "0007"
down_revision = "0006"
branch_labels = None
depends_on = None


def upgrade() -> None:
    op.create_table(
        "schema_support",
        sa.Column("oldest_code", sa.TEXT(), nullable=False),
        sa.PrimaryKeyConstraint("oldest_code", name=op.f("pk_schema_support")),
    )
    op.execute("INSERT INTO schema_support (oldest_code) VALUES ('0006')")


def downgrade() -> None:
    op.drop_table("schema_support")
