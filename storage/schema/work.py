"""Tables of work: jobs, their chunks, and the webhooks that tell of their end."""

from enum import StrEnum

from sqlalchemy import CheckConstraint, ForeignKey, Index, Integer, Table, UniqueConstraint, false, func, text, true
from sqlalchemy.dialects.postgresql import ARRAY, BOOLEAN, DOUBLE_PRECISION, TEXT, UUID

from starlight_vocabulary.words import ChunkState, JobState, Priority, WebhookKind
from storage.schema.columns import METADATA, TIME, one_of, optional, required


class KeptBlobs(StrEnum):
    """Which of its blobs a job keeps: `all`, only those in which something was found, or `none`."""

    ALL = "all"
    EVIDENCE = "evidence"
    NONE = "none"


# One submission: `total` references, and the numbers of outcomes. `threshold` is null if the model's own is used.
# `retry_of` is the job whose failed images this one scans again, `rescan_of` the job whose images this one scans again
# with another model. Bucket objects with the same version in the job `since` (which may be deleted) were left out. A
# job to be scanned `anew` reuses no verdicts. `follow_links` is false if `file://` references were resolved at
# submission, so that a link in a path can only have been added later. `kept_blobs` says which blobs are still stored
# for it. A `canary` is a job of known images, excluded from searches, totals and quotas: `storage.canaries`. `sealed`
# is null for jobs that ended before seals existed.
jobs = Table(
    "jobs", METADATA,
    required("id", UUID, primary_key=True, server_default=func.uuidv7()),
    optional("name", TEXT),
    required("submitter", TEXT),
    optional("idempotency_key", TEXT),
    required("priority", TEXT),
    optional("threshold", DOUBLE_PRECISION),
    required("follow_links", BOOLEAN, server_default=true()),
    required("kept_blobs", TEXT, server_default=KeptBlobs.NONE),
    required("canary", BOOLEAN, server_default=false()),
    optional("retry_of", UUID, ForeignKey("jobs.id", ondelete="SET NULL")),
    optional("since", UUID),
    required("anew", BOOLEAN, server_default=false()),
    optional("rescan_of", UUID, ForeignKey("jobs.id", ondelete="SET NULL")),
    required("state", TEXT, server_default=JobState.PENDING),
    required("total", Integer),
    required("clean", Integer, server_default="0"),
    required("stego", Integer, server_default="0"),
    required("error", Integer, server_default="0"),
    required("created_at", TIME, server_default=func.now()),
    optional("started_at", TIME),
    optional("finished_at", TIME),
    optional("sealed", BOOLEAN, server_default=false()),
    UniqueConstraint("submitter", "idempotency_key"),
    one_of("priority", Priority),
    one_of("state", JobState),
    one_of("kept_blobs", KeptBlobs),
    CheckConstraint("clean >= 0 AND stego >= 0 AND error >= 0", name="counts"),
    CheckConstraint("clean + stego + error <= total", name="accounting"),
    CheckConstraint("threshold > 0 AND threshold < 1", name="threshold"),
    Index("ix_jobs_open", "submitter", postgresql_where=text("state IN ('pending', 'running')")),
    # Always empty unless jobs were lost.
    Index(
        "ix_jobs_unaccounted", "id",
        postgresql_where=text("state IN ('done', 'cancelled') AND clean + stego + error <> total"),
    ),
    Index("ix_jobs_unsealed", "finished_at", postgresql_where=text("NOT sealed AND finished_at IS NOT NULL")),
    Index("ix_jobs_retry_of", "retry_of", postgresql_where=text("retry_of IS NOT NULL")),
    Index("ix_jobs_canary", "id", postgresql_where=text("canary")),
    Index("ix_jobs_rescan_of", "rescan_of", postgresql_where=text("rescan_of IS NOT NULL")),
    Index("ix_jobs_kept_blobs", "kept_blobs", "finished_at", postgresql_where=text("kept_blobs <> 'none'")),
)  # fmt: skip

# Consecutive references of one job, from `first_ordinal` on; the unit of dispatch, claim and lease. `tries` counts the
# scans after which images without a verdict were put off until `not_before`. `images` is the number of references, null
# in chunks stored by code before 0013. `versions` are the listed versions of bucket objects, parallel to the
# references. `traceparent` is the trace of the submission in W3C format, null if it is not traced. `message_id` is the
# id of the first of the lone chunks (`storage.lone_chunks`) dispatched in one message, null if a chunk has its own
# message.
chunks = Table(
    "chunks", METADATA,
    required("id", UUID, primary_key=True, server_default=func.uuidv7()),
    required("job_id", UUID, ForeignKey("jobs.id", ondelete="CASCADE")),
    required("submitter", TEXT),
    required("priority", TEXT),
    required("first_ordinal", Integer),
    required("refs", ARRAY(TEXT)),
    optional("versions", ARRAY(TEXT)),
    optional("images", Integer),
    required("state", TEXT, server_default=ChunkState.PENDING),
    required("attempt", Integer, server_default="0"),
    required("losses", Integer, server_default="0"),
    required("tries", Integer, server_default="0"),
    optional("not_before", TIME),
    optional("worker", TEXT),
    optional("dispatched_at", TIME),
    optional("lease_until", TIME),
    optional("traceparent", TEXT),
    optional("message_id", UUID),
    UniqueConstraint("job_id", "first_ordinal"),
    one_of("state", ChunkState),
    CheckConstraint("cardinality(refs) > 0", name="refs"),
    Index(
        "ix_chunks_pending", "priority", "submitter", "job_id", "first_ordinal",
        postgresql_where=text("state = 'pending'"),
    ),
    Index(
        "ix_chunks_in_flight", "state", "priority", "submitter",
        postgresql_where=text("state IN ('dispatched', 'running')"),
    ),
)  # fmt: skip

# The outbox of webhooks: due once the job has ended, until delivered or given up.
webhooks = Table(
    "webhooks", METADATA,
    required("job_id", UUID, ForeignKey("jobs.id", ondelete="CASCADE"), primary_key=True),
    required("url", TEXT),
    required("attempts", Integer, server_default="0"),
    required("next_attempt_at", TIME, server_default=func.now()),
    optional("delivered_at", TIME),
    optional("given_up_at", TIME),
    optional("last_error", TEXT),
    required("kind", TEXT, server_default=WebhookKind.STANDARD),
    required("sent", Integer, server_default="0"),
    one_of("kind", WebhookKind),
    Index(
        "ix_webhooks_open", "next_attempt_at", postgresql_where=text("delivered_at IS NULL AND given_up_at IS NULL")
    ),
)  # fmt: skip
