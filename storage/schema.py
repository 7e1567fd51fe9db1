"""The tables. PostgreSQL is the source of truth: what is not here did not happen.

Job states: `pending` → `running` → `done`, or `cancelled` from either.
Chunk states: `pending` → `dispatched` → `running` → `done`; a lost chunk goes back to `pending`,
a cancelled one ends as `cancelled`, one that keeps killing workers is replaced by chunks of one image.

Queries are raw SQL beside the functions that run them; a test compares the migrations with these definitions.
"""

from enum import StrEnum
from functools import partial

from sqlalchemy import (
    CheckConstraint,
    Column,
    ForeignKey,
    ForeignKeyConstraint,
    Identity,
    Index,
    Integer,
    MetaData,
    Table,
    UniqueConstraint,
    false,
    func,
    text,
    true,
)
from sqlalchemy.dialects.postgresql import (
    ARRAY,
    BIGINT,
    BOOLEAN,
    BYTEA,
    DOUBLE_PRECISION,
    JSONB,
    REAL,
    TEXT,
    TIMESTAMP,
    UUID,
)

from starlight_vocabulary.exports import ExportState
from starlight_vocabulary.words import (
    ChunkState,
    JobState,
    Judgement,
    ListingState,
    Method,
    Outcome,
    Priority,
    Scope,
    WebhookKind,
)

# Explicit names of constraints, so that migrations can refer to them.
METADATA = MetaData(
    naming_convention={
        "ix": "ix_%(table_name)s_%(column_0_N_name)s",
        "uq": "uq_%(table_name)s_%(column_0_N_name)s",
        "ck": "ck_%(table_name)s_%(constraint_name)s",
        "fk": "fk_%(table_name)s_%(column_0_N_name)s",
        "pk": "pk_%(table_name)s",
    }
)
TIME = TIMESTAMP(timezone=True)
required = partial(Column, nullable=False)
optional = partial(Column, nullable=True)


class KeptBlobs(StrEnum):
    """Which of its blobs a job keeps: `all`, only those in which something was found, or `none`."""

    ALL = "all"
    EVIDENCE = "evidence"
    NONE = "none"


def one_of(column: str, words: type[StrEnum]) -> CheckConstraint:
    """Return the constraint that a column contains one of these words."""
    return CheckConstraint(f"{column} IN ({', '.join(repr(word.value) for word in words)})", name=column)


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

# The sources of a job, kept with the job, and how far they are listed. `chunk_id` is the placeholder's chunk: it is the
# last of its job, has a source as its only reference, and is never dispatched. `buckets` are those of the key that
# asked, null if all are allowed. The listing process has a lease as `holder`; `attempts` counts tries since the last
# progress, and `next_at` is the time of the next try.
listings = Table(
    "listings", METADATA,
    required("job_id", UUID, ForeignKey("jobs.id", ondelete="CASCADE"), primary_key=True),
    required("chunk_id", UUID),
    required("sources", JSONB),
    optional("buckets", ARRAY(TEXT)),
    required("state", TEXT, server_default=ListingState.WAITING),
    optional("progress", JSONB),
    required("attempts", Integer, server_default="0"),
    required("next_at", TIME, server_default=func.now()),
    optional("holder", UUID),
    optional("lease_until", TIME),
    optional("error", TEXT),
    one_of("state", ListingState),
    Index("ix_listings_open", "next_at", postgresql_where=text("state IN ('waiting', 'running')")),
)  # fmt: skip

# Incoming data of a job that is not submitted yet, and will have this id. The upload is renewed while data arrives;
# expired ones were abandoned.
uploads = Table(
    "uploads", METADATA,
    required("job_id", UUID, primary_key=True, server_default=func.uuidv7()),
    required("submitter", TEXT),
    optional("idempotency_key", TEXT),
    required("expires_at", TIME),
    UniqueConstraint("submitter", "idempotency_key"),
    Index("ix_uploads_expires_at", "expires_at"),
)  # fmt: skip

# Bytes stored for jobs, each an object of the blob store. `released_at` is set whenever a job releases the blob, and
# null while it is known to be needed: a released blob without a job is to be deleted.
blobs = Table(
    "blobs", METADATA,
    required("sha256", BYTEA, primary_key=True),
    required("size_bytes", BIGINT),
    optional("released_at", TIME),
    Index("ix_blobs_released_at", "released_at", postgresql_where=text("released_at IS NOT NULL")),
)  # fmt: skip

# Which job, or upload that will become it, keeps which blob.
job_blobs = Table(
    "job_blobs", METADATA,
    required("job_id", UUID, primary_key=True),
    required("sha256", BYTEA, ForeignKey("blobs.sha256"), primary_key=True),
    Index("ix_job_blobs_sha256", "sha256"),
)  # fmt: skip

# The bytes stored by the jobs and uploads of a submitter; blobs kept by two of them count twice.
submitters = Table(
    "submitters", METADATA,
    required("name", TEXT, primary_key=True),
    required("stored_bytes", BIGINT, server_default="0"),
    CheckConstraint("stored_bytes >= 0", name="stored_bytes"),
)  # fmt: skip

# Weights with their threshold. `card` is the model card of an added model, whose weights are the blob `sha256`; null
# for a model that workers brought along.
models = Table(
    "models", METADATA,
    required("id", Integer, primary_key=True),
    required("name", TEXT),
    required("version", TEXT),
    required("sha256", TEXT),
    required("threshold", REAL),
    optional("card", JSONB),
    required("first_seen_at", TIME, server_default=func.now()),
    UniqueConstraint("sha256", "name", "version", "threshold"),
)  # fmt: skip

# Choices of the model in use; `model_id` is null for the model that ships with the code. The latest row counts; a
# rollback uses the earlier ones.
model_uses = Table(
    "model_uses", METADATA,
    required("id", Integer, primary_key=True),
    optional("model_id", Integer, ForeignKey("models.id")),
    required("used_by", TEXT),
    required("used_at", TIME, server_default=func.now()),
)  # fmt: skip

# The result for one reference, exactly one row each; `model_id` is null only if V4 was never run. A verdict is `reused`
# if the same model had judged the same bytes before and was not run again. `landed` is the number of verdicts of the
# job before the transaction that stored this one. Transactions that store verdicts of a job lock it first, so the order
# by `landed` and `ordinal` is the order in which verdicts became visible. `payload` is what was read, without its text,
# which is `extracted_message`; null if nothing was read, and in verdicts older than this column. `storage.partitions`
# creates the partitions.
verdicts = Table(
    "verdicts", METADATA,
    required("job_id", UUID, ForeignKey("jobs.id", ondelete="CASCADE"), primary_key=True),
    required("ordinal", Integer, primary_key=True),
    required("landed", Integer),
    required("uri", TEXT),
    required("outcome", TEXT),
    optional("sha256", BYTEA),
    optional("stego_probability", REAL),
    optional("method", TEXT),
    optional("bit_order", TEXT),
    optional("extracted_message", TEXT),
    optional("payload", JSONB),
    optional("error_code", TEXT),
    optional("error_detail", TEXT),
    optional("model_id", Integer, ForeignKey("models.id")),
    optional("width", Integer),
    optional("height", Integer),
    optional("format", TEXT),
    optional("size_bytes", BIGINT),
    required("reused", BOOLEAN, server_default=false()),
    required("scanned_at", TIME, server_default=func.now()),
    one_of("outcome", Outcome),
    one_of("method", Method),
    CheckConstraint("(outcome = 'error') = (error_code IS NOT NULL)", name="error_code"),
    CheckConstraint(
        "outcome = 'error' OR (stego_probability IS NOT NULL AND model_id IS NOT NULL AND sha256 IS NOT NULL)",
        name="explained",
    ),
    Index("ix_verdicts_bytes", "sha256", "model_id"),
    Index("ix_verdicts_landed", "job_id", "landed", "ordinal"),
    Index("ix_verdicts_scanned_at", "scanned_at"),
    Index("ix_verdicts_found", "outcome", "method", "scanned_at", postgresql_where=text("outcome <> 'clean'")),
    # For searches by words; `message_words` is a database function.
    Index(
        "ix_verdicts_words", text("message_words(extracted_message)"), postgresql_using="gin",
        postgresql_where=text("extracted_message IS NOT NULL"),
    ),
    Index("ix_verdicts_messages", "scanned_at", postgresql_where=text("extracted_message IS NOT NULL")),
    # Errors, and images that are not clearly clean: there are few of both.
    Index("ix_verdicts_errors", "error_code", "scanned_at", postgresql_where=text("error_code IS NOT NULL")),
    # Images of the chain by name; `inscription` is a database function.
    Index(
        "ix_verdicts_inscription", text('inscription(uri COLLATE "C")'),
        postgresql_where=text('inscription(uri COLLATE "C") IS NOT NULL'),
    ),
    Index("ix_verdicts_probable", "stego_probability", postgresql_where=text("stego_probability >= 0.1")),
    postgresql_partition_by="RANGE (job_id)",
)  # fmt: skip

# The worker, version and attempt behind the verdicts of one transaction, all of one chunk. Verdicts without a worker,
# such as those of cancelled images, have no row, nor have verdicts older than this table.
provenance = Table(
    "provenance", METADATA,
    required("job_id", UUID, ForeignKey("jobs.id", ondelete="CASCADE"), primary_key=True),
    required("landed", Integer, primary_key=True, autoincrement=False),
    required("worker", TEXT),
    required("code_version", TEXT),
    required("attempt", Integer),
)  # fmt: skip

# A digest of all verdicts of an ended job; `storage.seals` defines it. `seal_pieces` has a digest for each 128
# ordinals, and the first bytes of the digest of each verdict.
seals = Table(
    "seals", METADATA,
    required("job_id", UUID, ForeignKey("jobs.id", ondelete="CASCADE"), primary_key=True),
    required("root", BYTEA),
    required("verdicts", Integer),
    required("sealed_at", TIME, server_default=func.now()),
)  # fmt: skip
seal_pieces = Table(
    "seal_pieces", METADATA,
    required("job_id", UUID, ForeignKey("jobs.id", ondelete="CASCADE"), primary_key=True),
    required("first_ordinal", Integer, primary_key=True, autoincrement=False),
    required("digest", BYTEA),
    required("leaves", BYTEA),
)  # fmt: skip

# A worker process, and the time of its last report; `storage.workers` defines which count as alive. A `draining` one
# claims no more chunks.
workers = Table(
    "workers", METADATA,
    required("name", TEXT, primary_key=True),
    required("device", TEXT),
    required("model_id", Integer, ForeignKey("models.id")),
    required("started_at", TIME, server_default=func.now()),
    required("seen_at", TIME, server_default=func.now()),
    required("draining", BOOLEAN, server_default=false()),
)  # fmt: skip

# Pauses: the chunks of one priority, submitter or job, or, if all three are null, every chunk.
pauses = Table(
    "pauses", METADATA,
    required("id", Integer, primary_key=True),
    optional("priority", TEXT),
    optional("submitter", TEXT),
    optional("job_id", UUID, ForeignKey("jobs.id", ondelete="CASCADE")),
    required("paused_by", TEXT),
    required("paused_at", TIME, server_default=func.now()),
    UniqueConstraint("priority", "submitter", "job_id", postgresql_nulls_not_distinct=True),
    one_of("priority", Priority),
    CheckConstraint("num_nonnulls(priority, submitter, job_id) <= 1", name="one_subject"),
)  # fmt: skip

# The log of operations: who did what to what, and how many chunks were requeued.
operations = Table(
    "operations", METADATA,
    required("id", BIGINT, Identity(), primary_key=True),
    required("done_at", TIME, server_default=func.now()),
    required("done_by", TEXT),
    required("action", TEXT),
    required("subject", TEXT),
    required("chunks", Integer, server_default="0"),
)  # fmt: skip

# A round of canaries, drawn from a seed, and the results of its images. A round that has not ended is running, or its
# program died; there is at most one such.
canary_rounds = Table(
    "canary_rounds", METADATA,
    required("id", BIGINT, Identity(always=True), primary_key=True),
    required("seed", BIGINT),
    required("started_at", TIME, server_default=func.now()),
    optional("ended_at", TIME),
    optional("result", TEXT),
    required("answers", JSONB, server_default="[]"),
    CheckConstraint("(ended_at IS NULL) = (result IS NULL)", name="ended"),
    Index("ix_canary_rounds_result", "result", "ended_at"),
    Index("uq_canary_rounds_open", text("(ended_at IS NULL)"), unique=True, postgresql_where=text("ended_at IS NULL")),
)  # fmt: skip

# A watched source of a submitter: the position in the source's format, and the number of steps so far. The watching
# process is its `holder`: submissions of others are rejected. `compared_at` is when its files were last compared with
# the existing ones.
watches = Table(
    "watches", METADATA,
    required("id", BIGINT, Identity(always=True), primary_key=True),
    required("source", TEXT),
    required("submitter", TEXT),
    optional("cursor", TEXT),
    required("holder", UUID),
    required("steps", BIGINT, server_default="0"),
    required("held_since", TIME, server_default=func.now()),
    optional("compared_at", TIME),
    UniqueConstraint("submitter", "source"),
)  # fmt: skip
# The last submitted version of each file or object of a watch; `name` is the start of the SHA-256 of its name. A
# missing one is forgotten some time after `absent_since`.
watched_files = Table(
    "watched_files", METADATA,
    required("watch_id", BIGINT, ForeignKey("watches.id", ondelete="CASCADE"), primary_key=True),
    required("name", BYTEA, primary_key=True),
    required("version", TEXT),
    optional("absent_since", TIME),
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

# Exports requested by API keys, and their progress; the files are stored beside the blobs. `submitter` is the owner of
# the verdicts, null for everybody's. The process that makes one has a lease, identified by the attempt.
exports = Table(
    "exports", METADATA,
    required("id", UUID, primary_key=True, server_default=func.uuidv7()),
    required("asked_by", TEXT),
    optional("submitter", TEXT),
    required("request", JSONB),
    required("state", TEXT, server_default=ExportState.PENDING),
    required("attempts", Integer, server_default="0"),
    optional("lease_until", TIME),
    required("rows", BIGINT, server_default="0"),
    required("size_bytes", BIGINT, server_default="0"),
    optional("error", TEXT),
    required("created_at", TIME, server_default=func.now()),
    optional("finished_at", TIME),
    one_of("state", ExportState),
    Index("ix_exports_asked_by", "asked_by"),
)  # fmt: skip

# Totals of events, for metrics: see `storage.totals`. The sum over all shards counts. Rows are updated often, so pages
# have free space for in-place updates.
totals = Table(
    "totals", METADATA,
    required("name", TEXT, primary_key=True),
    required("label", TEXT, primary_key=True),
    required("shard", Integer, primary_key=True),
    required("value", BIGINT),
    postgresql_with={"fillfactor": 50},
)  # fmt: skip

# The number of images judged in recent periods: a ring of about a minute, whose slots are reused.
recent_images = Table(
    "recent_images", METADATA,
    required("slot", Integer, primary_key=True, autoincrement=False),
    required("shard", Integer, primary_key=True, autoincrement=False),
    required("period", BIGINT),
    required("images", BIGINT),
    postgresql_with={"fillfactor": 50},
)  # fmt: skip

# API keys: the SHA-256 of a key, found by its prefix. Its name is the submitter of its jobs. References to buckets must
# lie in `buckets`; null, for keys older than this column, means all.
api_keys = Table(
    "api_keys", METADATA,
    required("prefix", TEXT, primary_key=True),
    required("name", TEXT),
    required("sha256", BYTEA),
    required("scopes", ARRAY(TEXT)),
    optional("buckets", ARRAY(TEXT)),
    required("created_at", TIME, server_default=func.now()),
    optional("revoked_at", TIME),
    CheckConstraint(f"scopes <@ ARRAY[{', '.join(repr(scope.value) for scope in Scope)}]", name="scopes"),
    Index("uq_api_keys_name", "name", unique=True, postgresql_where=text("revoked_at IS NULL")),
)  # fmt: skip

# Sessions of the page: the SHA-256 of a secret that the browser keeps, and the key that was used to sign in.
sessions = Table(
    "sessions", METADATA,
    required("sha256", BYTEA, primary_key=True),
    required("key_prefix", TEXT, ForeignKey("api_keys.prefix", ondelete="CASCADE")),
    required("created_at", TIME, server_default=func.now()),
    required("seen_at", TIME, server_default=func.now()),
    Index("ix_sessions_key_prefix", "key_prefix"),
)  # fmt: skip

# People's judgements of verdicts; of several on one verdict the latest counts.
judgements = Table(
    "judgements", METADATA,
    required("id", BIGINT, Identity(always=True), primary_key=True),
    required("job_id", UUID),
    required("ordinal", Integer),
    required("judgement", TEXT),
    required("note", TEXT, server_default=""),
    required("judged_by", TEXT),
    required("judged_at", TIME, server_default=func.now()),
    ForeignKeyConstraint(["job_id", "ordinal"], ["verdicts.job_id", "verdicts.ordinal"], ondelete="CASCADE"),
    one_of("judgement", Judgement),
    Index("ix_judgements_job_id", "job_id", "ordinal"),
)  # fmt: skip

# One row: the oldest revision whose code works on this schema. A migration raises it if it removes or tightens
# something that older code relies on; one that only adds does not.
schema_support = Table("schema_support", METADATA, required("oldest_code", TEXT, primary_key=True))
