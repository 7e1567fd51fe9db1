"""Scanning while the caller waits: an interactive job, and its verdicts if they come in time."""

import asyncio
import time
from collections.abc import Sequence

from starlette.concurrency import run_in_threadpool

from producer.api.access import check_waiting
from producer.api.problems import ProblemError
from producer.api.service import Service
from storage.jobs import Submission, get_job, submit_job
from storage.keys import ApiKey
from storage.verdicts import Record, verdicts_between

LOOK_EVERY_S = 0.01


async def scan_now(
    service: Service, key: ApiKey, references: Sequence[str], threshold: float | None
) -> tuple[Submission, list[Record]]:
    """Submit these references and return the job with its verdicts.

    Raises a problem (504) that names the job if they do not come within `interactive_wait_s`; the job goes on.
    """
    submission = await run_in_threadpool(_submit, service, key, references, threshold)
    deadline = time.monotonic() + service.settings.interactive_wait_s
    while not await run_in_threadpool(_ended, service, submission):
        if time.monotonic() > deadline:
            url = f"/v1/jobs/{submission.job_id}"
            raise ProblemError(
                504,
                f"no verdict within {service.settings.interactive_wait_s:g} s; the job goes on: {url}",
                headers={"Location": url},
                job=url,
            )
        await asyncio.sleep(LOOK_EVERY_S)
    return submission, await run_in_threadpool(
        verdicts_between, service.engine, submission.job_id, 0, submission.total - 1
    )


def _submit(service: Service, key: ApiKey, references: Sequence[str], threshold: float | None) -> Submission:
    check_waiting(service, key.name)
    return submit_job(
        service.engine,
        references,
        submitter=key.name,
        priority="interactive",
        threshold=threshold,
        chunk_size=service.settings.chunk_size,
    )


def _ended(service: Service, submission: Submission) -> bool:
    job = get_job(service.engine, submission.job_id)
    return job is not None and job.ended
