"""How rare each word of messages is, for the planner."""

from alembic import op

revision = "0023"
down_revision = "0022"
branch_labels = None
depends_on = None


def upgrade() -> None:
    # What is known of the index of words is of rows with a message alone, and not used: each word counted as frequent,
    # and all messages were read, newest first, for one that few have.
    op.execute("CREATE STATISTICS st_verdicts_words ON message_words(extracted_message) FROM verdicts")


def downgrade() -> None:
    op.execute("DROP STATISTICS st_verdicts_words")
