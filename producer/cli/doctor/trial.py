"""The check that scans one image: stored, submitted, dispatched and scanned like any other."""

import io
import os
import time

from sqlalchemy import Engine

from producer.cli.doctor.check_results import CheckResult, well, wrong
from producer.following import Follower
from starlight_vocabulary.job import JobOptions
from starlight_vocabulary.words import Outcome, Priority
from storage.blobs import Blobs
from storage.jobs import cancel_job
from storage.settings import Settings
from storage.storage_limits import StorageLimits
from storage.uploads import Upload
from storage.verdict_search import VerdictFilter, find_verdicts

SUBJECT = "way of an image"
SUBMITTER = "doctor"
SIDE = 64


def scan_sample(engine: Engine, settings: Settings, patience_s: float) -> CheckResult:
    """Submit a generated picture as an interactive job, and check its verdict; wait up to `patience_s`."""
    begun = time.monotonic()
    with Upload(engine, Blobs(settings.blobs()), SUBMITTER, StorageLimits(None, 0)) as upload:
        (digest,) = upload.put_all([draw_sample()])
        options = JobOptions(name="starlight doctor", priority=Priority.INTERACTIVE)
        job_id = upload.submit([f"blob://{digest}/doctor.png"], options, chunk_size=1).job_id
    for update in Follower(engine, job_id).follow():
        if update.job.ended:
            break
        if time.monotonic() - begun > patience_s:
            cancel_job(engine, job_id)
            return wrong(SUBJECT, f"a picture had no verdict after {patience_s:.0f} s; job {job_id} is cancelled",
                         "see what else is wrong, and the logs of dispatcher and workers")  # fmt: skip
    (verdict,) = find_verdicts(engine, VerdictFilter(job_id=job_id), 1)
    if verdict.outcome is Outcome.ERROR:
        return wrong(SUBJECT, f"a picture ended as {verdict.error_code}: {verdict.error_detail}",
                     "workers must reach the blobs: set the same STARLIGHT_BLOB_URL everywhere")  # fmt: skip
    return well(SUBJECT, f"a generated picture is {verdict.outcome} by {verdict.model} "
                f"after {time.monotonic() - begun:.1f} s")  # fmt: skip


def draw_sample() -> bytes:
    """Return a small random PNG, for which there is no earlier verdict."""
    file = io.BytesIO()
    # Imported here, since no other command needs it.
    from PIL import Image

    Image.frombytes("RGB", (SIDE, SIDE), os.urandom(3 * SIDE * SIDE)).save(file, "PNG")
    return file.getvalue()
