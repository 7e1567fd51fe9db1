"""Jobs as people look for them: by a part of their name, their state and their submitter, newest first."""

import uuid
from collections.abc import Sequence
from dataclasses import dataclass

from sqlalchemy import Engine, text

from starlight_vocabulary.job import Job
from starlight_vocabulary.words import JobState
from storage.database import connect_to_read
from storage.jobs import JOB_COLUMNS, read_job

# Jobs that fit, from the newest on: ids grow with time.
SEARCH_JOBS = f"SELECT {JOB_COLUMNS} FROM jobs WHERE {{conditions}} ORDER BY id DESC LIMIT :limit"


@dataclass(frozen=True, slots=True, kw_only=True)
class JobFilter:
    """Which jobs to find; what is None does not narrow the search. `text` is part of a name, or an id."""

    submitter: str | None = None
    text: str | None = None
    states: Sequence[JobState] | None = None
    before: uuid.UUID | None = None


def search_jobs(engine: Engine, wanted: JobFilter, limit: int) -> list[Job]:
    """Return jobs, newest first."""
    narrowed: dict[str, tuple[str, object]] = {
        "submitter = :submitter": ("submitter", wanted.submitter),
        "(strpos(lower(name), lower(:text)) > 0 OR id::text = lower(:text))": ("text", wanted.text),
        "state = ANY(:states)": ("states", list(wanted.states) if wanted.states else None),
        "id < :before": ("before", wanted.before),
    }
    used = {condition: given for condition, given in narrowed.items() if given[1] is not None}
    query = text(SEARCH_JOBS.format(conditions=" AND ".join(used) or "true"))
    with connect_to_read(engine) as connection:
        rows = connection.execute(query, {**dict(used.values()), "limit": limit}).mappings()
        return [read_job(row) for row in rows]
