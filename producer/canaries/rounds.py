"""One round of canaries: drawing, storing and submitting them as interactive, and checking their verdicts."""

import time
import uuid
from collections.abc import Sequence
from contextlib import suppress
from datetime import datetime

from sqlalchemy import Engine
from sqlalchemy.exc import DBAPIError

from producer.canaries.drawing import Canary, draw_canaries
from producer.following import Follower
from starlight_vocabulary.job import JobOptions
from starlight_vocabulary.verdict import Verdict
from starlight_vocabulary.words import ErrorCode, Outcome, Priority
from storage.blobs import Blobs
from storage.canaries import CanaryAnswer, CanaryResult, end_round, give_up_round
from storage.jobs import cancel_job, get_job
from storage.settings import CANARY_SUBMITTER, Settings
from storage.storage_limits import StorageLimits
from storage.uploads import Upload
from storage.verdicts import list_between

PATIENCE_S = 60.0
# A stego image and its clean twin; small chunks distribute a round over the workers.
CHUNK_SIZE = 2


def run_round(engine: Engine, settings: Settings, round_id: int, seed: int, patience_s: float) -> list[CanaryAnswer]:
    """Run a round that was begun, and return the answers that came within `patience_s`.

    After any exception the round counts as never begun. Raises StorageFullError, and what `obstore` and SQLAlchemy do.
    """
    canaries = draw_canaries(seed)
    job_id = None
    try:
        job_id = submit_canaries(engine, settings, canaries)
        answers = await_answers(engine, job_id, canaries, patience_s)
        end_round(engine, round_id, job_id, answers)
    except BaseException:
        # If the database is not available, the round and its job expire by themselves.
        with suppress(DBAPIError):
            give_up_round(engine, round_id, job_id)
        raise
    return answers


def submit_canaries(engine: Engine, settings: Settings, canaries: Sequence[Canary]) -> uuid.UUID:
    """Store the images, submit them and return the id of their job."""
    with Upload(engine, Blobs(settings.blobs()), CANARY_SUBMITTER, StorageLimits(None, 0)) as upload:
        digests = upload.put_all([canary.data for canary in canaries])
        references = [f"blob://{digest}/{each.name}" for digest, each in zip(digests, canaries, strict=True)]
        options = JobOptions(name="canaries", priority=Priority.INTERACTIVE)
        return upload.submit(references, options, chunk_size=CHUNK_SIZE, canary=True).job_id


def await_answers(
    engine: Engine, job_id: uuid.UUID, canaries: Sequence[Canary], patience_s: float
) -> list[CanaryAnswer]:
    """Return the answer for each image; after `patience_s` the job is cancelled."""
    deadline = time.monotonic() + patience_s
    for update in Follower(engine, job_id).follow():
        if update.job.ended:
            break
        if time.monotonic() > deadline:
            cancel_job(engine, job_id)
            break
    job = get_job(engine, job_id)
    assert job is not None, "nobody else deletes a job so young"
    verdicts = {verdict.ordinal: verdict for verdict in list_between(engine, job_id, 0, len(canaries) - 1)}
    return [make_answer(canary, verdicts.get(ordinal), job.created_at) for ordinal, canary in enumerate(canaries)]


def make_answer(canary: Canary, verdict: Verdict | None, submitted_at: datetime) -> CanaryAnswer:
    """Return the answer for a canary with this verdict."""
    if verdict is None or verdict.error_code is ErrorCode.CANCELLED:
        return CanaryAnswer(canary.name, canary.hidden, CanaryResult.MISSING)
    return CanaryAnswer(
        canary.name,
        canary.hidden,
        find_result(canary, verdict),
        outcome=verdict.outcome,
        stego_type=verdict.stego_type,
        stego_probability=verdict.stego_probability,
        error_code=verdict.error_code,
        model=verdict.model,
        seconds=(verdict.scanned_at - submitted_at).total_seconds(),
    )


def find_result(canary: Canary, verdict: Verdict) -> CanaryResult:
    """Return how a verdict compares with the truth."""
    if verdict.outcome is Outcome.ERROR:
        return CanaryResult.ERROR
    if verdict.stego_type != canary.hidden or verdict.is_stego is not (canary.hidden is not None):
        return CanaryResult.WRONG
    return CanaryResult.RIGHT if verdict.extracted_message == canary.message else CanaryResult.UNREAD
