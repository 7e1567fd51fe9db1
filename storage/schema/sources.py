"""Tables of sources: those of jobs that are listed in the background, and those that are watched."""

from sqlalchemy import ForeignKey, Identity, Index, Integer, Table, UniqueConstraint, func, text
from sqlalchemy.dialects.postgresql import ARRAY, BIGINT, BYTEA, JSONB, TEXT, UUID

from starlight_vocabulary.words import ListingState
from storage.schema.columns import METADATA, TIME, one_of, optional, required

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
