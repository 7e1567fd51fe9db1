"""Tables of results: models, verdicts, what proves and corrects them, and exports."""

from sqlalchemy import (
    CheckConstraint,
    ForeignKey,
    ForeignKeyConstraint,
    Identity,
    Index,
    Integer,
    Table,
    UniqueConstraint,
    false,
    func,
    text,
)
from sqlalchemy.dialects.postgresql import BIGINT, BOOLEAN, BYTEA, JSONB, REAL, TEXT, UUID

from starlight_vocabulary.exports import ExportState
from starlight_vocabulary.words import Judgement, Method, Outcome
from storage.schema.columns import METADATA, TIME, one_of, optional, required

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
