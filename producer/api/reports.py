"""Reports about jobs in the API's responses."""

import uuid
from dataclasses import fields
from datetime import UTC, datetime

from starlight_vocabulary.answers import JobLinks, JobReport
from starlight_vocabulary.job import Job
from starlight_vocabulary.words import JobState


def report_job(job: Job) -> JobReport:
    """Return the report about a job, with its current rate and remaining time."""
    rate = left = None
    # Images of a cancelled job have verdicts without having been scanned.
    if job.started_at is not None and job.finished and job.state is not JobState.CANCELLED:
        seconds = ((job.finished_at or datetime.now(UTC)) - job.started_at).total_seconds()
        rate = 60 * job.finished / max(seconds, 0.001)
        left = 60 * (job.total - job.finished) / rate
    known = {field.name: getattr(job, field.name) for field in fields(Job)}
    return JobReport(**known, images_per_minute=rate, seconds_left=left, links=link_job(job.id))


def link_job(job_id: uuid.UUID) -> JobLinks:
    """Return the API's paths for a job."""
    return JobLinks(
        job=f"/v1/jobs/{job_id}", verdicts=f"/v1/jobs/{job_id}/verdicts", events=f"/v1/jobs/{job_id}/events"
    )
