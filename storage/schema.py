"""The tables. PostgreSQL holds the truth: what is not here did not happen.

Job states: `pending` → `running` → `done`, or `cancelled` from either.
Chunk states: `pending` → `dispatched` → `running` → `done`; a lost chunk goes back to `pending`,
a cancelled one ends as `cancelled`, one that kept killing workers is replaced by chunks of one image.
"""

import uuid
from datetime import datetime
from typing import Any, ClassVar

from sqlalchemy import CheckConstraint, ForeignKey, Index, MetaData, UniqueConstraint, false, func, text
from sqlalchemy.dialects.postgresql import ARRAY, BIGINT, BYTEA, DOUBLE_PRECISION, JSONB, REAL, TEXT, TIMESTAMP, UUID
from sqlalchemy.orm import DeclarativeBase, Mapped, mapped_column

PRIORITIES = ("interactive", "bulk")
OUTCOMES = ("clean", "stego", "error")
SCOPES = ("submit", "read", "admin")
METHODS = ("alpha", "palette", "lsb.rgb", "exif", "raw")


def one_of(column: str, *values: str) -> str:
    """Return the SQL condition that `column` is one of `values`."""
    return f"{column} IN ({', '.join(repr(value) for value in values)})"


class Base(DeclarativeBase):
    """All tables; constraint names are spelled out so that migrations can refer to them."""

    metadata = MetaData(
        naming_convention={
            "ix": "ix_%(table_name)s_%(column_0_N_name)s",
            "uq": "uq_%(table_name)s_%(column_0_N_name)s",
            "ck": "ck_%(table_name)s_%(constraint_name)s",
            "fk": "fk_%(table_name)s_%(column_0_N_name)s",
            "pk": "pk_%(table_name)s",
        }
    )
    type_annotation_map: ClassVar = {
        datetime: TIMESTAMP(timezone=True),
        dict[str, Any]: JSONB,
        str: TEXT,
        uuid.UUID: UUID(as_uuid=True),
    }


class Job(Base):
    """One submission: `total` references and how many of them have which outcome.

    `threshold` is null where the model's own decides; `retry_of` is the job whose failed images this one scans again.
    """

    __tablename__ = "jobs"

    id: Mapped[uuid.UUID] = mapped_column(primary_key=True, server_default=func.uuidv7())
    name: Mapped[str | None]
    submitter: Mapped[str]
    idempotency_key: Mapped[str | None]
    priority: Mapped[str]
    threshold: Mapped[float | None] = mapped_column(DOUBLE_PRECISION)
    retry_of: Mapped[uuid.UUID | None] = mapped_column(ForeignKey("jobs.id", ondelete="SET NULL"))
    state: Mapped[str] = mapped_column(server_default="pending")
    total: Mapped[int]
    clean: Mapped[int] = mapped_column(server_default="0")
    stego: Mapped[int] = mapped_column(server_default="0")
    error: Mapped[int] = mapped_column(server_default="0")
    created_at: Mapped[datetime] = mapped_column(server_default=func.now())
    started_at: Mapped[datetime | None]
    finished_at: Mapped[datetime | None]

    __table_args__ = (
        UniqueConstraint("submitter", "idempotency_key"),
        CheckConstraint(one_of("priority", *PRIORITIES), name="priority"),
        CheckConstraint(one_of("state", "pending", "running", "done", "cancelled"), name="state"),
        CheckConstraint("clean >= 0 AND stego >= 0 AND error >= 0", name="counts"),
        CheckConstraint("clean + stego + error <= total", name="accounting"),
        CheckConstraint("threshold > 0 AND threshold < 1", name="threshold"),
        Index("ix_jobs_open", "submitter", postgresql_where=text("state IN ('pending', 'running')")),
        Index("ix_jobs_retry_of", "retry_of", postgresql_where=text("retry_of IS NOT NULL")),
    )


class Chunk(Base):
    """Consecutive references of one job, from `first_ordinal` on; the unit of dispatch, claim and lease.

    `tries` counts the scans after which some of its images, without a verdict yet, were put off until `not_before`.
    """

    __tablename__ = "chunks"

    id: Mapped[uuid.UUID] = mapped_column(primary_key=True, server_default=func.uuidv7())
    job_id: Mapped[uuid.UUID] = mapped_column(ForeignKey("jobs.id", ondelete="CASCADE"))
    submitter: Mapped[str]
    priority: Mapped[str]
    first_ordinal: Mapped[int]
    refs: Mapped[list[str]] = mapped_column(ARRAY(TEXT))
    state: Mapped[str] = mapped_column(server_default="pending")
    attempt: Mapped[int] = mapped_column(server_default="0")
    losses: Mapped[int] = mapped_column(server_default="0")
    tries: Mapped[int] = mapped_column(server_default="0")
    not_before: Mapped[datetime | None]
    worker: Mapped[str | None]
    dispatched_at: Mapped[datetime | None]
    lease_until: Mapped[datetime | None]

    __table_args__ = (
        UniqueConstraint("job_id", "first_ordinal"),
        CheckConstraint(one_of("state", "pending", "dispatched", "running", "done", "cancelled"), name="state"),
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


class Model(Base):
    """A set of weights with the threshold that came with it.

    `card` is the model card of a model that was added, whose weights are the blob `sha256`; null for one that workers
    brought along.
    """

    __tablename__ = "models"

    id: Mapped[int] = mapped_column(primary_key=True)
    name: Mapped[str]
    version: Mapped[str]
    sha256: Mapped[str]
    threshold: Mapped[float] = mapped_column(REAL)
    card: Mapped[dict[str, Any] | None]
    first_seen_at: Mapped[datetime] = mapped_column(server_default=func.now())

    __table_args__ = (UniqueConstraint("sha256", "name", "version", "threshold"),)


class ModelUse(Base):
    """That workers are to use this model from now on, or, where `model_id` is null, the one that ships with the code.

    The newest row counts; earlier ones are what a rollback finds.
    """

    __tablename__ = "model_uses"

    id: Mapped[int] = mapped_column(primary_key=True)
    model_id: Mapped[int | None] = mapped_column(ForeignKey("models.id"))
    used_by: Mapped[str]
    used_at: Mapped[datetime] = mapped_column(server_default=func.now())


class Verdict(Base):
    """What became of one reference. Exactly one row for each; `model_id` is null only where V4 was never asked.

    A verdict is `reused` where the same model had judged the same bytes before and was not asked again.
    `landed` is how many verdicts the job had before the transaction that stored this one. Transactions that store
    verdicts of a job lock it first, so by `landed` and `ordinal` they stand in the order in which they became visible.
    """

    __tablename__ = "verdicts"

    job_id: Mapped[uuid.UUID] = mapped_column(ForeignKey("jobs.id", ondelete="CASCADE"), primary_key=True)
    ordinal: Mapped[int] = mapped_column(primary_key=True)
    landed: Mapped[int]
    uri: Mapped[str]
    outcome: Mapped[str]
    sha256: Mapped[bytes | None] = mapped_column(BYTEA)
    stego_probability: Mapped[float | None] = mapped_column(REAL)
    method: Mapped[str | None]
    bit_order: Mapped[str | None]
    extracted_message: Mapped[str | None]
    error_code: Mapped[str | None]
    error_detail: Mapped[str | None]
    model_id: Mapped[int | None] = mapped_column(ForeignKey("models.id"))
    width: Mapped[int | None]
    height: Mapped[int | None]
    format: Mapped[str | None]
    size_bytes: Mapped[int | None] = mapped_column(BIGINT)
    reused: Mapped[bool] = mapped_column(server_default=false())
    scanned_at: Mapped[datetime] = mapped_column(server_default=func.now())

    __table_args__ = (
        CheckConstraint(one_of("outcome", *OUTCOMES), name="outcome"),
        CheckConstraint(one_of("method", *METHODS), name="method"),
        CheckConstraint("(outcome = 'error') = (error_code IS NOT NULL)", name="error_code"),
        CheckConstraint(
            "outcome = 'error' OR (stego_probability IS NOT NULL AND model_id IS NOT NULL AND sha256 IS NOT NULL)",
            name="explained",
        ),
        Index("ix_verdicts_bytes", "sha256", "model_id"),
        Index("ix_verdicts_landed", "job_id", "landed", "ordinal"),
        Index("ix_verdicts_scanned_at", "scanned_at"),
        Index("ix_verdicts_found", "outcome", "method", "scanned_at", postgresql_where=text("outcome <> 'clean'")),
    )


class Worker(Base):
    """A worker process, and when it last reported; `storage.workers` says which of them count as alive."""

    __tablename__ = "workers"

    name: Mapped[str] = mapped_column(primary_key=True)
    device: Mapped[str]
    model_id: Mapped[int] = mapped_column(ForeignKey("models.id"))
    started_at: Mapped[datetime] = mapped_column(server_default=func.now())
    seen_at: Mapped[datetime] = mapped_column(server_default=func.now())


class Webhook(Base):
    """The outbox of a job that names a webhook: due once the job has ended, until delivered or given up."""

    __tablename__ = "webhooks"

    job_id: Mapped[uuid.UUID] = mapped_column(ForeignKey("jobs.id", ondelete="CASCADE"), primary_key=True)
    url: Mapped[str]
    attempts: Mapped[int] = mapped_column(server_default="0")
    next_attempt_at: Mapped[datetime] = mapped_column(server_default=func.now())
    delivered_at: Mapped[datetime | None]
    given_up_at: Mapped[datetime | None]
    last_error: Mapped[str | None]

    __table_args__ = (
        Index(
            "ix_webhooks_open", "next_attempt_at",
            postgresql_where=text("delivered_at IS NULL AND given_up_at IS NULL"),
        ),
    )  # fmt: skip


class ApiKey(Base):
    """Who may use the API: the SHA-256 of a key, found by its prefix. Its name is the submitter of its jobs."""

    __tablename__ = "api_keys"

    prefix: Mapped[str] = mapped_column(primary_key=True)
    name: Mapped[str]
    sha256: Mapped[bytes] = mapped_column(BYTEA)
    scopes: Mapped[list[str]] = mapped_column(ARRAY(TEXT))
    created_at: Mapped[datetime] = mapped_column(server_default=func.now())
    revoked_at: Mapped[datetime | None]

    __table_args__ = (
        CheckConstraint(f"scopes <@ ARRAY[{', '.join(repr(scope) for scope in SCOPES)}]", name="scopes"),
        Index("uq_api_keys_name", "name", unique=True, postgresql_where=text("revoked_at IS NULL")),
    )
