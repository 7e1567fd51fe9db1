"""What the page's filters look for: words of messages, error codes, probabilities."""

import sqlalchemy as sa
from alembic import op

from storage.migrations.older_servers import write_folding

revision = "0018"
down_revision = "0017"
branch_labels = None
depends_on = None

# ASCII's punctuation separates words. Left to PostgreSQL's parser, it would make addresses, tags and compounds of them,
# which are found by nothing but the whole, and which take a time that grows with the square of what a stranger wrote.
PUNCTUATION = "!\"#$%&''()*+,-./:;<=>?@[\\]^_`{|}~"
SPACES = " " * (len(PUNCTUATION) - 1)
FOLDED = """
    CREATE FUNCTION message_folded(message text) RETURNS text LANGUAGE sql IMMUTABLE PARALLEL SAFE RETURN {folding}
"""
# So many characters make a vector that is never too large for PostgreSQL, whatever they are.
WORDS = f"""
    CREATE FUNCTION message_words(message text) RETURNS tsvector LANGUAGE sql IMMUTABLE PARALLEL SAFE
    RETURN to_tsvector(
        'simple'::regconfig, translate(message_folded(left(message, 65536)), '{PUNCTUATION}', '{SPACES}')
    )
"""
SOUGHT = f"""
    CREATE FUNCTION words_sought(words text) RETURNS tsquery LANGUAGE sql IMMUTABLE PARALLEL SAFE
    RETURN plainto_tsquery('simple'::regconfig, translate(message_folded(words), '{PUNCTUATION}', '{SPACES}'))
"""
HAS_MESSAGE = sa.text("extracted_message IS NOT NULL")


def upgrade() -> None:
    # As SQL of the driver: the punctuation has colons and percent signs.
    connection = op.get_bind()
    for statement in (FOLDED.format(folding=write_folding(connection)), WORDS, SOUGHT):
        connection.exec_driver_sql(statement.replace("%", "%%"))
    op.create_index(
        "ix_verdicts_words",
        "verdicts",
        [sa.text("message_words(extracted_message)")],
        postgresql_using="gin",
        postgresql_where=HAS_MESSAGE,
    )
    op.create_index("ix_verdicts_messages", "verdicts", ["scanned_at"], postgresql_where=HAS_MESSAGE)
    op.create_index(
        "ix_verdicts_errors",
        "verdicts",
        ["error_code", "scanned_at"],
        postgresql_where=sa.text("error_code IS NOT NULL"),
    )
    op.create_index(
        "ix_verdicts_probable",
        "verdicts",
        ["stego_probability"],
        postgresql_where=sa.text("stego_probability >= 0.1"),
    )


def downgrade() -> None:
    op.drop_index("ix_verdicts_probable", "verdicts")
    op.drop_index("ix_verdicts_errors", "verdicts")
    op.drop_index("ix_verdicts_messages", "verdicts")
    op.drop_index("ix_verdicts_words", "verdicts")
    op.execute("DROP FUNCTION words_sought")
    op.execute("DROP FUNCTION message_words")
    op.execute("DROP FUNCTION message_folded")
