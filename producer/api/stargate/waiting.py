"""Scanning while the caller waits: an interactive job, and its verdicts if they come in time."""

from collections.abc import Sequence

from starlette.concurrency import run_in_threadpool

from producer.api.feeds import Hub
from producer.api.problems import ProblemError
from producer.api.service import Service
from producer.api.submission import submit_for
from starlight_vocabulary.job import JobOptions
from starlight_vocabulary.verdict import Verdict
from starlight_vocabulary.words import Priority
from storage.jobs import Submission
from storage.uploads import Upload
from storage.verdicts import list_between


async def scan_now(
    service: Service, feeds: Hub, upload: Upload, references: Sequence[str], threshold: float | None
) -> tuple[Submission, list[Verdict]]:
    """Submit these references of an upload and return the job with its verdicts.

    Raises a problem (504) that names the job if they do not come within `interactive_wait_s`; the job goes on.
    """
    options = JobOptions(priority=Priority.INTERACTIVE, threshold=threshold)
    submission = await run_in_threadpool(submit_for, service, upload, references, options)
    wait_s = service.settings.interactive_wait_s
    if not await feeds.wait_for_end(submission.job_id, wait_s):
        url = f"/v1/jobs/{submission.job_id}"
        detail = f"no verdict within {wait_s:g} s; the job goes on: {url}"
        raise ProblemError(504, detail, headers={"Location": url}, job=url)
    return submission, await run_in_threadpool(list_between, service.engine, submission.job_id, 0, submission.total - 1)
