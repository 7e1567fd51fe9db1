"""What the API says of jobs."""

import uuid
from datetime import UTC, datetime
from typing import Literal, Self

from pydantic import BaseModel, Field

from storage.jobs import JobStatus

Priority = Literal["interactive", "bulk"]
EXAMPLE_ID = uuid.UUID("019ab3c4-7d2e-7c3a-9f10-5b2d8e6a1c40")


class JobLinks(BaseModel):
    """Where to go on."""

    job: str = Field(examples=[f"/v1/jobs/{EXAMPLE_ID}"])
    verdicts: str = Field(examples=[f"/v1/jobs/{EXAMPLE_ID}/verdicts"])
    events: str = Field(examples=[f"/v1/jobs/{EXAMPLE_ID}/events"])


class Job(BaseModel):
    """One job: how many of its images have which outcome, how fast it goes and how long it may take."""

    id: uuid.UUID = Field(examples=[EXAMPLE_ID])
    name: str | None = Field(examples=["november"])
    submitter: str = Field(description="The name of the key that submitted it.", examples=["stargate"])
    priority: Priority
    threshold: float | None = Field(description="Null where the model's own decides.")
    state: Literal["pending", "running", "done", "cancelled"]
    total: int = Field(examples=[10000])
    finished: int = Field(description="Images that have their verdict.", examples=[2500])
    clean: int = Field(examples=[2490])
    stego: int = Field(examples=[7])
    error: int = Field(examples=[3])
    images_per_minute: float | None = Field(description="Since the job's start; null before.", examples=[30000.0])
    seconds_left: float | None = Field(description="At this rate; null where none is known.", examples=[15.0])
    created_at: datetime
    started_at: datetime | None
    finished_at: datetime | None
    retry_of: uuid.UUID | None = Field(description="The job whose failed images this one scans again.")
    links: JobLinks

    @classmethod
    def of(cls, status: JobStatus) -> Self:
        """Return what is said of a job now."""
        rate = left = None
        if status.started_at is not None and status.finished:
            seconds = ((status.finished_at or datetime.now(UTC)) - status.started_at).total_seconds()
            rate = 60 * status.finished / max(seconds, 0.001)
            left = 60 * (status.total - status.finished) / rate
        return cls.model_validate(
            {
                **{name: getattr(status, name) for name in cls.model_fields if hasattr(status, name)},
                "images_per_minute": rate,
                "seconds_left": left,
                "links": links_of(status.id),
            }
        )


class Jobs(BaseModel):
    """A page of jobs, newest first."""

    jobs: list[Job]
    next: str | None = Field(description="Where the next page is; null on the last.", examples=["/v1/jobs?before=…"])


class Cancelled(BaseModel):
    """What became of a job that was cancelled."""

    cancelled: int = Field(description="Images that will not be scanned.", examples=[7500])
    job: Job


def links_of(job_id: uuid.UUID) -> JobLinks:
    """Return the paths of a job."""
    return JobLinks(
        job=f"/v1/jobs/{job_id}", verdicts=f"/v1/jobs/{job_id}/verdicts", events=f"/v1/jobs/{job_id}/events"
    )
