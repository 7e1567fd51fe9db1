"""Sources that are watched: where each stands, and which versions of its files were submitted."""

import sqlalchemy as sa
from alembic import op
from sqlalchemy.dialects import postgresql

revision = "0026"
down_revision = "0025"
branch_labels = None
depends_on = None


def upgrade() -> None:
    op.create_table(
        "watches",
        sa.Column("id", sa.BIGINT(), sa.Identity(always=True), nullable=False),
        sa.Column("source", sa.TEXT(), nullable=False),
        sa.Column("submitter", sa.TEXT(), nullable=False),
        sa.Column("cursor", sa.TEXT(), nullable=True),
        sa.Column("holder", sa.UUID(), nullable=False),
        sa.Column("steps", sa.BIGINT(), server_default="0", nullable=False),
        sa.Column("held_since", postgresql.TIMESTAMP(timezone=True), server_default=sa.text("now()"), nullable=False),
        sa.PrimaryKeyConstraint("id", name=op.f("pk_watches")),
        sa.UniqueConstraint("submitter", "source", name=op.f("uq_watches_submitter_source")),
    )
    op.create_table(
        "watched_files",
        sa.Column("watch_id", sa.BIGINT(), nullable=False),
        sa.Column("name", postgresql.BYTEA(), nullable=False),
        sa.Column("version", sa.TEXT(), nullable=False),
        sa.PrimaryKeyConstraint("watch_id", "name", name=op.f("pk_watched_files")),
        sa.ForeignKeyConstraint(
            ["watch_id"], ["watches.id"], name=op.f("fk_watched_files_watch_id_watches"), ondelete="CASCADE"
        ),
    )


def downgrade() -> None:
    op.drop_table("watched_files")
    op.drop_table("watches")
