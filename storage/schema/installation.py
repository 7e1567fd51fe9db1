"""Tables about the installation: workers, operations on it, canaries, totals, and the support of older code."""

from sqlalchemy import CheckConstraint, ForeignKey, Identity, Index, Integer, Table, UniqueConstraint, false, func, text
from sqlalchemy.dialects.postgresql import BIGINT, BOOLEAN, JSONB, TEXT, UUID

from starlight_vocabulary.words import Priority
from storage.schema.columns import METADATA, TIME, one_of, optional, required

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

# One row: the oldest revision whose code works on this schema. A migration raises it if it removes or tightens
# something that older code relies on; one that only adds does not.
schema_support = Table("schema_support", METADATA, required("oldest_code", TEXT, primary_key=True))
