"""The provenance of a verdict: the worker that stored it, with device and code version, and the chunk's attempt."""

import uuid
from dataclasses import fields

from sqlalchemy import Engine, text

from starlight_vocabulary.answers import Provenance, VerdictReport
from starlight_vocabulary.verdict import Verdict
from storage.database import connect_to_read

# Records that the verdicts of a transaction come from the worker that claimed their chunk. `ended` is the chunk,
# `locked` the job, `written` the stored verdicts.
RECORD_PROVENANCE = """
    INSERT INTO provenance (job_id, landed, worker, code_version, attempt)
    SELECT locked.id, locked.landed, split_part(ended.worker, ' ', 1), :code_version, ended.attempt
    FROM locked, ended WHERE EXISTS (SELECT FROM written)
    ON CONFLICT DO NOTHING
"""

# Of one verdict. The chunk of an image is the last one that begins at or before it.
FIND_PROVENANCE = text("""
    SELECT submitter, models.name AS model_name, models.version AS model_version, models.sha256 AS weights_sha256,
        provenance.worker, split_part(provenance.worker, '@', 1) AS device, code_version, attempt, (
            SELECT losses FROM chunks WHERE chunks.job_id = verdicts.job_id AND first_ordinal <= verdicts.ordinal
            ORDER BY first_ordinal DESC LIMIT 1
        ) AS losses
    FROM verdicts JOIN jobs ON jobs.id = verdicts.job_id LEFT JOIN models ON models.id = verdicts.model_id
        LEFT JOIN provenance ON provenance.job_id = verdicts.job_id AND provenance.landed = verdicts.landed
    WHERE verdicts.job_id = :job_id AND ordinal = :ordinal
""")


def find_provenance(engine: Engine, job_id: uuid.UUID, ordinal: int) -> Provenance | None:
    """Return the provenance of this verdict, or None if it does not exist."""
    with connect_to_read(engine) as connection:
        row = connection.execute(FIND_PROVENANCE, {"job_id": job_id, "ordinal": ordinal}).mappings().one_or_none()
    return Provenance(**{str(name): value for name, value in row.items()}) if row else None


def report_verdict(verdict: Verdict, provenance: Provenance) -> VerdictReport:
    """Return the verdict with its provenance."""
    return VerdictReport(**{each.name: getattr(verdict, each.name) for each in fields(Verdict)}, provenance=provenance)
