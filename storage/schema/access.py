"""Tables of access: API keys, and sessions of the page."""

from sqlalchemy import CheckConstraint, ForeignKey, Index, Table, func, text
from sqlalchemy.dialects.postgresql import ARRAY, BYTEA, TEXT

from starlight_vocabulary.words import Scope
from storage.schema.columns import METADATA, TIME, optional, required

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
