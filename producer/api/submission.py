"""Jobs of keys: every route that submits does it here."""

from collections.abc import Iterable

from producer.api.service import Service
from starlight_vocabulary.job import JobOptions
from storage.jobs import Submission, submit_job
from storage.keys import ApiKey


def submit_for(service: Service, key: ApiKey, references: Iterable[str], options: JobOptions) -> Submission:
    """Submit a job of this key, whose files were resolved: links that stand in their paths later are not followed.

    Raises EmptyJobError.
    """
    return submit_job(
        service.engine,
        references,
        options,
        submitter=key.name,
        chunk_size=service.settings.chunk_size,
        follow_links=False,
    )
