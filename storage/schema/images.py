"""Tables of stored images: which bytes are kept, and for which jobs and submitters."""

from sqlalchemy import CheckConstraint, ForeignKey, Index, Table, UniqueConstraint, func, text
from sqlalchemy.dialects.postgresql import BIGINT, BYTEA, TEXT, UUID

from storage.schema.columns import METADATA, TIME, optional, required

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
