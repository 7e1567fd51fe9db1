"""Images that are still stored, and the jobs that keep them."""

import uuid
from collections.abc import Sequence

from sqlalchemy import Engine, text

from starlight_vocabulary.verdict import Verdict
from storage.database import connect_to_read

# Which of these images these jobs keep.
LIST_STORED = text("""
    SELECT job_id, encode(sha256, 'hex') AS sha256 FROM job_blobs
    WHERE (job_id, sha256) IN (
        SELECT * FROM unnest(CAST(:job_ids AS uuid[]), CAST(:digests AS bytea[]))
    )
""")


def list_stored(engine: Engine, verdicts: Sequence[Verdict]) -> set[tuple[uuid.UUID, str]]:
    """Return job and SHA-256 of those of these verdicts whose images are stored for their job."""
    known = [(each.job_id, bytes.fromhex(each.sha256)) for each in verdicts if each.sha256]
    parameters = {"job_ids": [job_id for job_id, _ in known], "digests": [digest for _, digest in known]}
    with connect_to_read(engine) as connection:
        return {(row.job_id, row.sha256) for row in connection.execute(LIST_STORED, parameters)}


# Whether a job, of this submitter or any, keeps a blob.
KEEPS_BLOB = text("""
    SELECT EXISTS (
        SELECT FROM job_blobs JOIN jobs ON jobs.id = job_blobs.job_id
        WHERE job_blobs.sha256 = :sha256 AND jobs.submitter = coalesce(:submitter, jobs.submitter)
    )
""")


def keeps_blob(engine: Engine, digest: str, submitter: str | None = None) -> bool:
    """Whether the blob with this SHA-256, in hex, is stored for a job of this submitter, or of any if None."""
    with connect_to_read(engine) as connection:
        parameters = {"sha256": bytes.fromhex(digest), "submitter": submitter}
        return bool(connection.execute(KEEPS_BLOB, parameters).scalar_one())
