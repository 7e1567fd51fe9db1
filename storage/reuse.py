"""Reuse of earlier verdicts of a model on the same bytes."""

from collections.abc import Sequence
from datetime import timedelta
from typing import Any

from sqlalchemy import Engine, text

from starlight_vocabulary.words import BitOrder, Method, Outcome
from storage.database import connect_to_read
from storage.new_verdict import NewVerdict
from storage.partitions import LOWEST_ID
from storage.verdicts import VERDICT_COLUMNS, read_payload

# One row per digest, however many verdicts there are. With another threshold, a verdict may lack its method. The hidden
# message must have been read, and not been cut at a smaller limit than today's. Two bounds exclude partitions,
# including future ones; they are computed from now(), so that one plan serves all: planning for each group of images
# costs more.
RECALL_VERDICTS = text(f"""
    SELECT {", ".join(f"found.{name}" for name in VERDICT_COLUMNS)}
    FROM unnest(CAST(:digests AS bytea[])) AS wanted(sha256)
    CROSS JOIN LATERAL (
        SELECT verdicts.*
        FROM verdicts JOIN models ON models.id = verdicts.model_id JOIN jobs ON jobs.id = verdicts.job_id
        WHERE verdicts.sha256 = wanted.sha256 AND verdicts.model_id = :model_id AND NOT jobs.canary
            AND verdicts.job_id >= {LOWEST_ID.format(moment="now() - CAST(:within AS interval)")}
            AND verdicts.job_id < {LOWEST_ID.format(moment="now() + interval '1 hour'")}
            AND jobs.submitter = coalesce(:submitter, jobs.submitter)
            AND outcome = CASE WHEN stego_probability >= coalesce(:threshold, models.threshold)
                THEN 'stego' ELSE 'clean' END
            AND (outcome = 'clean' OR payload IS NOT NULL AND (
                NOT CAST(payload ->> 'truncated' AS boolean)
                OR CAST(payload ->> 'limit' AS bigint) >= :max_message_bytes
            ))
        LIMIT 1
    ) AS found
""")


def recall_verdicts(
    engine: Engine,
    model_id: int,
    digests: Sequence[bytes],
    threshold: float | None,
    submitter: str | None = None,
    *,
    max_message_bytes: int,
    within: timedelta,
) -> dict[bytes, NewVerdict]:
    """Return this model's verdicts on bytes with these SHA-256s, for a job's threshold or, if None, the model's.

    Only from jobs submitted `within` the time before now, and of `submitter` if given. Excludes verdicts
    whose message could be read further today.
    """
    parameters = {
        "digests": list(digests), "model_id": model_id, "threshold": threshold, "submitter": submitter,
        "max_message_bytes": max_message_bytes, "within": within,
    }  # fmt: skip
    with connect_to_read(engine) as connection:
        rows = connection.execute(RECALL_VERDICTS, parameters).mappings()
        recalled = [_read_row(dict(row)) for row in rows]
    return {verdict.sha256: verdict for verdict in recalled if verdict.sha256}


def _read_row(row: dict[str, Any]) -> NewVerdict:
    words: dict[str, Any] = {
        "outcome": Outcome.read(row["outcome"]),
        "method": Method.read(row["method"]) if row["method"] else None,
        "payload": read_payload(row["payload"], row["extracted_message"]),
        "bit_order": BitOrder.read(row["bit_order"]) if row["bit_order"] else None,
    }
    return NewVerdict(**{**row, **words})
