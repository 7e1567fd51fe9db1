"""Shortcuts for rows: jobs, claims and verdicts without images."""

import uuid
from collections.abc import Sequence

from sqlalchemy import Engine, text

from starlight_vocabulary.answers import Provenance
from starlight_vocabulary.job import Job, JobOptions
from starlight_vocabulary.words import ErrorCode, Outcome, Priority
from storage.chunks import Claim, claim_chunk, finish_chunk
from storage.dispatch import pick_chunks
from storage.jobs import get_job
from storage.models import register_model
from storage.new_verdict import NewVerdict
from storage.provenance import find_provenance
from storage.submission import submit_job
from storage.webhooks import WebhookState, get_webhook

LEASE_S = 60.0


def submit_job_of(
    engine: Engine, images: int, *, submitter: str = "ann", chunk_size: int = 4, priority: Priority = Priority.BULK
) -> uuid.UUID:
    """Submit a job with this many made-up references."""
    references = [f"file:///image-{number}" for number in range(images)]
    return submit_job(
        engine, references, JobOptions(priority=priority), submitter=submitter, chunk_size=chunk_size
    ).job_id


def read_job(engine: Engine, job_id: uuid.UUID) -> Job:
    """Return a job that must exist."""
    job = get_job(engine, job_id)
    assert job is not None, f"there is no job {job_id}"
    return job


def require_provenance(engine: Engine, job_id: uuid.UUID, ordinal: int) -> Provenance:
    """Return the provenance of a verdict that must exist."""
    found = find_provenance(engine, job_id, ordinal)
    assert found is not None, f"job {job_id} has no verdict {ordinal}"
    return found


def read_webhook(engine: Engine, job_id: uuid.UUID) -> WebhookState:
    """Return the state of a job's webhook, which must exist."""
    state = get_webhook(engine, job_id)
    assert state is not None, f"job {job_id} names no webhook"
    return state


def pick_ids(engine: Engine, priority: Priority, window: int) -> list[uuid.UUID]:
    """Dispatch the waiting chunks; return their ids."""
    return [chunk.chunk_id for chunk in pick_chunks(engine, priority, window)]


def claim_waiting_chunks(engine: Engine, worker: str = "cpu0@here", priority: Priority = Priority.BULK) -> list[Claim]:
    """Dispatch and claim all waiting chunks."""
    claims = [claim_chunk(engine, chunk, worker, LEASE_S) for chunk in pick_ids(engine, priority, 1000)]
    return [claim for claim in claims if claim is not None]


def register_v4(engine: Engine) -> int:
    """Register a model; return its id."""
    return register_model(engine, name="v4", version="0", sha256="0" * 64, threshold=0.5)


def make_verdicts(engine: Engine, claim: Claim, outcome: Outcome = Outcome.CLEAN) -> list[NewVerdict]:
    """Return a verdict for each reference of the claim."""
    if outcome is Outcome.ERROR:
        return [NewVerdict(ordinal, uri, outcome, error_code=ErrorCode.EMPTY) for ordinal, uri in claim.images]
    return [
        NewVerdict(ordinal, uri, outcome, sha256=b"\0" * 32, stego_probability=0.5, model_id=register_v4(engine))
        for ordinal, uri in claim.images
    ]


def finish_waiting_chunks(engine: Engine, outcome: Outcome = Outcome.CLEAN) -> None:
    """Give every waiting image this outcome."""
    for claim in claim_waiting_chunks(engine):
        assert finish_chunk(engine, claim, make_verdicts(engine, claim, outcome))


def finish_last_chunk(engine: Engine) -> None:
    """Finish the last one of the waiting chunks."""
    claim = claim_waiting_chunks(engine)[-1]
    execute(engine, f"UPDATE chunks SET state = 'pending' WHERE id <> '{claim.chunk_id}' AND state = 'running'")
    assert finish_chunk(engine, claim, make_verdicts(engine, claim))


def expire_leases(engine: Engine) -> None:
    """Make the leases of all running chunks expire now."""
    execute(engine, "UPDATE chunks SET lease_until = now() - interval '1 second' WHERE state = 'running'")


def execute(engine: Engine, statement: str, **parameters: object) -> None:
    """Run a statement that the project's code has no function for."""
    with engine.begin() as connection:
        connection.execute(text(statement), parameters)


def read_chunk_states(engine: Engine) -> Sequence[str]:
    """Return the state of every chunk, in order."""
    with engine.connect() as connection:
        return list(connection.execute(text("SELECT state FROM chunks ORDER BY job_id, first_ordinal")).scalars())
