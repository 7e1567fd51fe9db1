"""The versions of bucket objects that were submitted with a job and the jobs it was compared with."""

import uuid
from collections.abc import Iterator

from sqlalchemy import Engine, text

# Chunks whose references are in memory at once.
CHUNKS_AT_ONCE = 20

# The objects of a job and of the chain of its `since` jobs, oldest first.
LIST_VERSIONS = text("""
    WITH RECURSIVE compared AS (
        SELECT id, since FROM jobs WHERE id = :id
        UNION ALL
        SELECT jobs.id, jobs.since FROM jobs JOIN compared ON jobs.id = compared.since
    )
    SELECT uri, version
    FROM chunks JOIN compared ON job_id = compared.id, unnest(refs, versions) AS listed (uri, version)
    WHERE version IS NOT NULL ORDER BY job_id, first_ordinal
""")


def list_versions(engine: Engine, job_id: uuid.UUID) -> Iterator[tuple[str, str]]:
    """Yield the objects submitted with a job or its `since` jobs, with their versions, older ones first."""
    with engine.connect() as connection:
        for row in connection.execution_options(yield_per=CHUNKS_AT_ONCE * 256).execute(LIST_VERSIONS, {"id": job_id}):
            yield row.uri, row.version
