"""Short cuts to rows for tests of the queries: jobs, claims and verdicts that need no image."""

import uuid
from collections.abc import Sequence

from sqlalchemy import Engine, text

from storage.chunks import Claim, claim_chunk, pick_chunks
from storage.jobs import submit_job
from storage.models import register_model
from storage.verdicts import NewVerdict

LEASE_S = 60.0


def submitted(
    engine: Engine, images: int, *, submitter: str = "ann", chunk_size: int = 4, priority: str = "bulk"
) -> uuid.UUID:
    """Submit a job of so many made-up references."""
    references = [f"file:///image-{number}" for number in range(images)]
    return submit_job(engine, references, submitter=submitter, chunk_size=chunk_size, priority=priority).job_id


def claimed(engine: Engine, worker: str = "cpu0@here", priority: str = "bulk") -> list[Claim]:
    """Dispatch and claim whatever waits."""
    claims = [claim_chunk(engine, chunk, worker, LEASE_S) for chunk in pick_chunks(engine, priority, 1000)]
    return [claim for claim in claims if claim is not None]


def model(engine: Engine) -> int:
    """Return the id of a model."""
    return register_model(engine, name="v4", version="0", sha256="0" * 64, threshold=0.5)


def verdicts_for(engine: Engine, claim: Claim, outcome: str = "clean") -> list[NewVerdict]:
    """Return a verdict for each reference of the claim."""
    if outcome == "error":
        return [NewVerdict(ordinal, uri, "error", error_code="empty") for ordinal, uri in claim.images]
    return [
        NewVerdict(ordinal, uri, outcome, sha256=b"\0" * 32, stego_probability=0.5, model_id=model(engine))
        for ordinal, uri in claim.images
    ]


def expire_leases(engine: Engine) -> None:
    """Let the leases of all running chunks run out now."""
    execute(engine, "UPDATE chunks SET lease_until = now() - interval '1 second' WHERE state = 'running'")


def execute(engine: Engine, statement: str) -> None:
    """Run a statement that no code of ours would."""
    with engine.begin() as connection:
        connection.execute(text(statement))


def chunk_states(engine: Engine) -> Sequence[str]:
    """Return the state of every chunk, in order."""
    with engine.connect() as connection:
        return list(connection.execute(text("SELECT state FROM chunks ORDER BY job_id, first_ordinal")).scalars())
