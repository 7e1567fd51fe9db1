"""Verdicts by the names of inscriptions."""

import sqlalchemy as sa
from alembic import op

revision = "0028"
down_revision = "0027"
branch_labels = None
depends_on = None

# `TXID:iN` of `blob://SHA256/bitcoin:TXID:iN`, or, of what could not be stored, of `bitcoin:TXID:iN`.
INSCRIPTION = """
    CREATE FUNCTION inscription(uri text) RETURNS text LANGUAGE sql IMMUTABLE PARALLEL SAFE
    RETURN substring(uri, '^(?:blob://[0-9a-f]{64}/)?bitcoin:([0-9a-f]{64}:i[0-9]+)$')
"""
# By characters as they are, so that the index finds beginnings of names too.
NAME = 'inscription(uri COLLATE "C")'
# The view as 0019 made it, and what it gets at its end.
MODEL = "models.name || '-' || models.version || '@sha256:' || models.sha256"
VERDICT = f"""
    CREATE {{or_replace}} VIEW verdict AS
    SELECT verdicts.job_id, verdicts.ordinal, jobs.name AS job_name, jobs.submitter, verdicts.uri, verdicts.sha256,
        verdicts.outcome,
        CASE WHEN verdicts.stego_probability IS NOT NULL THEN verdicts.outcome = 'stego' END AS is_stego,
        verdicts.stego_probability, greatest(verdicts.stego_probability, 1 - verdicts.stego_probability) AS confidence,
        CASE WHEN verdicts.stego_probability IS NOT NULL THEN verdicts.outcome END AS prediction,
        verdicts.method AS stego_type, verdicts.bit_order, verdicts.extracted_message, verdicts.error_code,
        verdicts.error_detail, {MODEL} AS model,
        CASE WHEN models.id IS NOT NULL THEN coalesce(jobs.threshold, models.threshold) END AS threshold,
        verdicts.width, verdicts.height, verdicts.format, verdicts.size_bytes, verdicts.reused, verdicts.scanned_at,
        verdicts.payload, provenance.worker, split_part(provenance.worker, '@', 1) AS device, provenance.code_version,
        provenance.attempt {{more}}
    FROM verdicts JOIN jobs ON NOT jobs.canary AND jobs.id = verdicts.job_id
        LEFT JOIN models ON models.id = verdicts.model_id
        LEFT JOIN provenance ON provenance.job_id = verdicts.job_id AND provenance.landed = verdicts.landed
"""
BEFORE = VERDICT.format(or_replace="", more="")
AFTER = VERDICT.format(or_replace="OR REPLACE", more=f", {NAME.replace('uri', 'verdicts.uri')} AS inscription")


def upgrade() -> None:
    # As SQL of the driver: the expression has colons.
    op.get_bind().exec_driver_sql(INSCRIPTION)
    op.create_index(
        "ix_verdicts_inscription",
        "verdicts",
        [sa.text(NAME)],
        postgresql_where=sa.text(f"{NAME} IS NOT NULL"),
    )
    # The planner knows next to nothing of what is in an index of some rows alone.
    op.execute(f"CREATE STATISTICS st_verdicts_inscription ON ({NAME}) FROM verdicts")
    op.execute(AFTER)


def downgrade() -> None:
    op.execute("DROP VIEW verdict")
    op.execute(BEFORE)
    op.execute("DROP STATISTICS st_verdicts_inscription")
    op.drop_index("ix_verdicts_inscription", table_name="verdicts")
    op.execute("DROP FUNCTION inscription(text)")
