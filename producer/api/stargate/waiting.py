"""Scanning while the caller waits: submits an interactive job and waits for its verdicts."""

import uuid
from collections.abc import Sequence
from dataclasses import dataclass, replace
from typing import Annotated

from fastapi import Depends
from starlette.concurrency import run_in_threadpool

from producer.api.job_events import SharedJobEvents
from producer.api.lone_images import SharedLoneImages
from producer.api.problems import ProblemError
from producer.api.reading import ImageReading
from producer.api.service import Shared
from producer.api.submission import submit_for
from starlight_vocabulary.job import JobOptions
from starlight_vocabulary.verdict import Verdict
from starlight_vocabulary.words import Priority, WebhookKind
from storage.lone_uploads import LoneImage
from storage.submission import Submission
from storage.traces import describe_span, read_traceparent, trace
from storage.uploads import Upload
from storage.verdicts import list_between


@dataclass(frozen=True, slots=True)
class InteractiveScanner:
    """What routes need that scan while the caller waits."""

    service: Shared
    lone_images: SharedLoneImages
    job_events: SharedJobEvents
    reading: ImageReading

    async def scan(
        self, upload: Upload, references: Sequence[str], threshold: float | None, callback: str | None = None
    ) -> tuple[Submission, list[Verdict]]:
        """Submit references of an upload, and return the job with its verdicts; they are also sent to the `callback`.

        Raises a problem (504) that names the job if it takes longer than `interactive_wait_s`; the job continues.
        """
        options = JobOptions(
            priority=Priority.INTERACTIVE,
            threshold=threshold,
            webhook=callback,
            webhook_kind=WebhookKind.STARGATE if callback else None,
        )
        submission = await run_in_threadpool(submit_for, self.service, upload, references, options)
        wait_s = self.service.settings.interactive_wait_s
        if not await self.job_events.wait_for_end(submission.job_id, wait_s):
            raise refuse_to_wait(submission.job_id, wait_s)
        last = submission.total - 1
        return submission, await run_in_threadpool(list_between, self.service.engine, submission.job_id, 0, last)

    async def scan_lone_image(self, image: LoneImage) -> Verdict:
        """Submit an image as a job and return its verdict; raises what `scan` and `LoneImages.submit` raise."""
        with trace("submit"):
            job_id = await self.lone_images.submit(replace(image, traceparent=read_traceparent()))
            describe_span(job=job_id, images=1)
        wait_s = self.service.settings.interactive_wait_s
        verdict = await self.job_events.first_verdicts.wait_for(job_id, wait_s)
        if verdict is None:
            raise refuse_to_wait(job_id, wait_s)
        return verdict


SharedScanner = Annotated[InteractiveScanner, Depends()]


def refuse_to_wait(job_id: uuid.UUID, wait_s: float) -> ProblemError:
    """Return the problem (504) for a job that takes too long."""
    url = f"/v1/jobs/{job_id}"
    detail = f"no verdict within {wait_s:g} s; the job continues: {url}"
    return ProblemError(504, detail, headers={"Location": url}, job=url)
