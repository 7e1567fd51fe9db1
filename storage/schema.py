"""The tables. PostgreSQL holds the truth: what is not here did not happen.

Job states: `pending` → `running` → `done`, or `cancelled` from either.
Chunk states: `pending` → `dispatched` → `running` → `done`; a lost chunk goes back to `pending`,
a cancelled one ends as `cancelled`, one that kept killing workers is replaced by chunks of one image.

Queries are raw SQL, each beside the function that runs it; these definitions are what migrations are checked against.
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

# Names of constraints are spelled out so that migrations can refer to them.
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
    """Which of its blobs a job keeps: `all`, those in which something was found, or `none`."""

    ALL = "all"
    EVIDENCE = "evidence"
    NONE = "none"


def one_of(column: str, words: type[StrEnum]) -> CheckConstraint:
    """Return the constraint that a column holds one of these words."""
    return CheckConstraint(f"{column} IN ({', '.join(repr(word.value) for word in words)})", name=column)


# One submission: `total` references and how many of them have which outcome. `threshold` is null where the model's
# own decides; `retry_of` is the job whose failed images this one scans again, `rescan_of` the one of which it scans
# images that another model judged. Objects of buckets that `since`, which may be deleted, has in the same version
# were left out. A job that scans `anew` reuses no verdict. `follow_links` is false where `file://` references were
# resolved when they were submitted, so that a link on the way can only have been put there since. `kept_blobs` says
# which of its blobs are still stored for it. A `canary` is a job of images whose truth we know, which searches,
# totals and quotas leave out: `storage.canaries`. Whether it is `sealed` is null in jobs that ended before there were
# seals.
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
    # Always empty: what would be here was lost.
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

# Consecutive references of one job, from `first_ordinal` on; the unit of dispatch, claim and lease. `tries` counts
# the scans after which some of its images, without a verdict yet, were put off until `not_before`. `images` is how
# many references there are, null in chunks that code before 0013 has stored. `versions` has, beside the references,
# those of objects of buckets as they were listed. `traceparent` is the trace of the submission as W3C Trace Context
# has it, null where nothing is traced. `message_id` is that of the first of the lone chunks (`storage.lone_chunks`)
# that were dispatched in one message, null where a chunk went in one of its own.
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

# What a job's sources are, for as long as the job is there, and up to where they were listed. `chunk_id` is the chunk
# that stands for what is still to come: its one reference is a source, it is the last of its job, and nobody
# dispatches it. `buckets` are what the key that asked might name, null of one that may name all. Whoever lists has a
# lease, as its `holder`; it tried so many `attempts` since it last came further, and is tried again at `next_at`.
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

# What is coming in for a job that is not submitted yet, and will have this id. Whoever takes it in renews it; what has
# expired was left behind.
uploads = Table(
    "uploads", METADATA,
    required("job_id", UUID, primary_key=True, server_default=func.uuidv7()),
    required("submitter", TEXT),
    optional("idempotency_key", TEXT),
    required("expires_at", TIME),
    UniqueConstraint("submitter", "idempotency_key"),
    Index("ix_uploads_expires_at", "expires_at"),
)  # fmt: skip

# The bytes that were stored for jobs, one object of the blob store each. `released_at` is set whenever somebody lets go
# of one, and null where it is known to be needed: what is released and has no job is to be deleted.
blobs = Table(
    "blobs", METADATA,
    required("sha256", BYTEA, primary_key=True),
    required("size_bytes", BIGINT),
    optional("released_at", TIME),
    Index("ix_blobs_released_at", "released_at", postgresql_where=text("released_at IS NOT NULL")),
)  # fmt: skip

# Which job, or upload that is to become it, needs which blob.
job_blobs = Table(
    "job_blobs", METADATA,
    required("job_id", UUID, primary_key=True),
    required("sha256", BYTEA, ForeignKey("blobs.sha256"), primary_key=True),
    Index("ix_job_blobs_sha256", "sha256"),
)  # fmt: skip

# How many bytes the jobs and uploads of a submitter keep; what two of them keep counts twice.
submitters = Table(
    "submitters", METADATA,
    required("name", TEXT, primary_key=True),
    required("stored_bytes", BIGINT, server_default="0"),
    CheckConstraint("stored_bytes >= 0", name="stored_bytes"),
)  # fmt: skip

# A set of weights with the threshold that came with it. `card` is the model card of a model that was added, whose
# weights are the blob `sha256`; null for one that workers brought along.
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

# That workers are to use this model from now on, or, where `model_id` is null, the one that ships with the code. The
# newest row counts; earlier ones are what a rollback finds.
model_uses = Table(
    "model_uses", METADATA,
    required("id", Integer, primary_key=True),
    optional("model_id", Integer, ForeignKey("models.id")),
    required("used_by", TEXT),
    required("used_at", TIME, server_default=func.now()),
)  # fmt: skip

# What became of one reference. Exactly one row for each; `model_id` is null only where V4 was never asked. A verdict is
# `reused` where the same model had judged the same bytes before and was not asked again. `landed` is how many verdicts
# the job had before the transaction that stored this one. Transactions that store verdicts of a job lock it first, so
# by `landed` and `ordinal` they stand in the order in which they became visible. `payload` is what was read, but for
# its text, which is the `extracted_message`; null where nothing was read, and in verdicts older than this column.
# Its partitions are made by `storage.partitions`.
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
    # What people look for in messages; `message_words` is a function of the database.
    Index(
        "ix_verdicts_words", text("message_words(extracted_message)"), postgresql_using="gin",
        postgresql_where=text("extracted_message IS NOT NULL"),
    ),
    Index("ix_verdicts_messages", "scanned_at", postgresql_where=text("extracted_message IS NOT NULL")),
    # Errors and what is not quite clean: few images are either.
    Index("ix_verdicts_errors", "error_code", "scanned_at", postgresql_where=text("error_code IS NOT NULL")),
    # Images of the chain by their names; `inscription` is a function of the database.
    Index(
        "ix_verdicts_inscription", text('inscription(uri COLLATE "C")'),
        postgresql_where=text('inscription(uri COLLATE "C") IS NOT NULL'),
    ),
    Index("ix_verdicts_probable", "stego_probability", postgresql_where=text("stego_probability >= 0.1")),
    postgresql_partition_by="RANGE (job_id)",
)  # fmt: skip

# By whom the verdicts were made that one transaction stored, all of one chunk: by which worker, of which version, at
# which attempt. What no worker made, as images that were cancelled, has no row, nor has what is older than this table.
provenance = Table(
    "provenance", METADATA,
    required("job_id", UUID, ForeignKey("jobs.id", ondelete="CASCADE"), primary_key=True),
    required("landed", Integer, primary_key=True, autoincrement=False),
    required("worker", TEXT),
    required("code_version", TEXT),
    required("attempt", Integer),
)  # fmt: skip

# A digest of all verdicts of a job that has ended, as they were then; `storage.seals` says of what. Of each 128 of its
# ordinals `seal_pieces` has a digest, and the first bytes of those of its verdicts.
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

# A worker process, and when it last reported; `storage.workers` says which of them count as alive. One that is
# `draining` claims no more chunks.
workers = Table(
    "workers", METADATA,
    required("name", TEXT, primary_key=True),
    required("device", TEXT),
    required("model_id", Integer, ForeignKey("models.id")),
    required("started_at", TIME, server_default=func.now()),
    required("seen_at", TIME, server_default=func.now()),
    required("draining", BOOLEAN, server_default=false()),
)  # fmt: skip

# What is held back: the chunks of one priority, one submitter or one job, or, where all three are null, every chunk.
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

# Who of the operators did what to what, and how many chunks went back to be dispatched anew.
operations = Table(
    "operations", METADATA,
    required("id", BIGINT, Identity(), primary_key=True),
    required("done_at", TIME, server_default=func.now()),
    required("done_by", TEXT),
    required("action", TEXT),
    required("subject", TEXT),
    required("chunks", Integer, server_default="0"),
)  # fmt: skip

# A round of canaries, drawn from a seed, and what came of each of its images. One that has not ended runs, or its
# program died; there is one such at most.
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

# A source that is watched for somebody: up to where it was submitted, in words of the source, and in how many steps.
# Whoever watches it is its `holder`: what another one submits then is not taken. `compared_at` is when its files were
# last compared with those that are there.
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
# In which version each file or object of a watch was submitted last; `name` is the start of the SHA-256 of its name.
# One that is gone is forgotten some time after `absent_since`.
watched_files = Table(
    "watched_files", METADATA,
    required("watch_id", BIGINT, ForeignKey("watches.id", ondelete="CASCADE"), primary_key=True),
    required("name", BYTEA, primary_key=True),
    required("version", TEXT),
    optional("absent_since", TIME),
)  # fmt: skip

# The outbox of a job that names a webhook: due once the job has ended, until delivered or given up.
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

# What keys of the API ask to have exported, and how far it is; the files are beside the blobs. `submitter` is whose
# verdicts, null for everybody's. Whoever makes one has a lease, under the number of his attempt.
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

# How often something happened, for metrics: `storage.totals` says what. The sum of all shards counts; rows are raised
# often, and have room to be so in place.
totals = Table(
    "totals", METADATA,
    required("name", TEXT, primary_key=True),
    required("label", TEXT, primary_key=True),
    required("shard", Integer, primary_key=True),
    required("value", BIGINT),
    postgresql_with={"fillfactor": 50},
)  # fmt: skip

# How many images were judged in a period of the last minute or so: a ring, whose slots are used again.
recent_images = Table(
    "recent_images", METADATA,
    required("slot", Integer, primary_key=True, autoincrement=False),
    required("shard", Integer, primary_key=True, autoincrement=False),
    required("period", BIGINT),
    required("images", BIGINT),
    postgresql_with={"fillfactor": 50},
)  # fmt: skip

# Who may use the API: the SHA-256 of a key, found by its prefix. Its name is the submitter of its jobs. `buckets` are
# what its references to buckets must lie in; null, of keys that are older than this column, means all.
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

# Who is signed in to the page: the SHA-256 of a secret that the browser keeps, and the key that was given for it.
sessions = Table(
    "sessions", METADATA,
    required("sha256", BYTEA, primary_key=True),
    required("key_prefix", TEXT, ForeignKey("api_keys.prefix", ondelete="CASCADE")),
    required("created_at", TIME, server_default=func.now()),
    required("seen_at", TIME, server_default=func.now()),
    Index("ix_sessions_key_prefix", "key_prefix"),
)  # fmt: skip

# What people say of verdicts, beside them; of one verdict the newest counts.
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

# One row: the oldest revision whose code works on this schema. A migration that takes away or tightens what older code
# relies on raises it; one that only adds leaves it as it is.
schema_support = Table("schema_support", METADATA, required("oldest_code", TEXT, primary_key=True))
