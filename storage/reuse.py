"""Verdicts that stand already: what a model said about the same bytes before."""

from collections.abc import Sequence
from dataclasses import fields

from sqlalchemy import Engine, text

from storage.database import reading
from storage.verdicts import NewVerdict

REUSED = ", ".join(f"found.{field.name}" for field in fields(NewVerdict))

# One row for each digest, however many verdicts there are on it. An outcome by another threshold may lack its method.
RECALL = text(f"""
    SELECT {REUSED}
    FROM unnest(CAST(:digests AS bytea[])) AS wanted(sha256)
    CROSS JOIN LATERAL (
        SELECT verdicts.* FROM verdicts JOIN models ON models.id = verdicts.model_id
        WHERE verdicts.sha256 = wanted.sha256 AND verdicts.model_id = :model_id
            AND outcome = CASE WHEN stego_probability >= coalesce(:threshold, models.threshold)
                THEN 'stego' ELSE 'clean' END
        LIMIT 1
    ) AS found
""")


def recall_verdicts(
    engine: Engine, model_id: int, digests: Sequence[bytes], threshold: float | None
) -> dict[bytes, NewVerdict]:
    """Return this model's verdicts on bytes with these SHA-256s, for a job's threshold or, without one, the model's."""
    with reading(engine) as connection:
        rows = connection.execute(RECALL, {"digests": list(digests), "model_id": model_id, "threshold": threshold})
        return {verdict.sha256: verdict for row in rows if (verdict := NewVerdict(*row)).sha256}
