"""API keys: random secrets, shown once and stored as hashes."""

import hashlib
import hmac
import secrets
from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import Any

from sqlalchemy import Engine, Row, text
from sqlalchemy.exc import IntegrityError

from starlight_vocabulary.operations import Action
from starlight_vocabulary.words import Scope
from storage.buckets import Location, read_location
from storage.database import connect_to_read
from storage.notifications import KEYS, REVOKED
from storage.operations import record_operation
from storage.settings import CANARY_SUBMITTER

PREFIX_BYTES = 6
SECRET_BYTES = 32
# Limits for imported keys, in characters.
MIN_IMPORTED = 32
MAX_IMPORTED = 512
MIN_ALPHABET = 8
KEY_CONSTRAINT = "pk_api_keys"
# Unknown keys are compared with this, so that they take as long as known ones.
NO_HASH = bytes(hashlib.sha256().digest_size)


class KeyNameError(ValueError):
    """A key that cannot be created or revoked; the message says why."""


@dataclass(frozen=True, slots=True)
class ApiKey:
    """A key in a listing: `prefix` is the part that may be shown; times in UTC."""

    name: str
    prefix: str
    scopes: tuple[Scope, ...]
    created_at: datetime
    revoked_at: datetime | None
    buckets: tuple[Location, ...] | None = None
    """Its references to buckets must lie in these; None for keys older than this rule: any bucket."""

    def may_name(self, location: Location) -> bool:
        """Whether the key may read references there; an admin may read all."""
        return self.buckets is None or self.allows(Scope.ADMIN) or location.lies_in(self.buckets)

    def allows(self, scope: Scope) -> bool:
        """Whether the key has this right; `admin` includes all."""
        return scope in self.scopes or Scope.ADMIN in self.scopes


# Inserts a key; fails if another key of this name is in use.
INSERT_KEY = text("""
    INSERT INTO api_keys (prefix, name, sha256, scopes, buckets) VALUES (:prefix, :name, :sha256, :scopes, :buckets)
""")


def create_key(
    engine: Engine, name: str, scopes: Sequence[str], buckets: Sequence[str] = (), *, done_by: str | None = None
) -> str:
    """Store a new key and return it; it cannot be read again later. Records who it was `done_by`, if given.

    `buckets` are `s3://BUCKET` or `s3://BUCKET/PREFIX`, also with `gs://` or `az://`; without any, the key may read no
    objects. Raises KeyNameError for an empty or reserved name, no or an unknown scope, an invalid bucket, and if a key
    of this name is in use.
    """
    key = f"starlight_{secrets.token_hex(PREFIX_BYTES)}_{secrets.token_hex(SECRET_BYTES)}"
    _store_key(engine, key, name, scopes, buckets, Action.CREATE_KEY, done_by)
    return key


def import_key(
    engine: Engine, key: str, name: str, scopes: Sequence[str], buckets: Sequence[str] = (), *, done_by: str | None
) -> None:
    """Store a key that was made elsewhere, so that its owner can keep it; otherwise like `create_key`.

    Also raises KeyNameError for a key that could be guessed, or that a header cannot contain.
    """
    is_sendable = key.isascii() and key.isprintable() and " " not in key
    if not is_sendable or not MIN_IMPORTED <= len(key) <= MAX_IMPORTED or len(set(key)) < MIN_ALPHABET:
        raise KeyNameError(
            f"an imported key needs {MIN_IMPORTED} to {MAX_IMPORTED} ASCII characters without spaces, at least "
            f"{MIN_ALPHABET} of them different: make one with `openssl rand -hex 32`"
        )
    _store_key(engine, key, name, scopes, buckets, Action.IMPORT_KEY, done_by)


def _store_key(
    engine: Engine,
    key: str,
    name: str,
    scopes: Sequence[str],
    buckets: Sequence[str],
    action: Action,
    done_by: str | None,
) -> None:
    _check_name(name)
    if not scopes or set(scopes) - set(Scope):
        raise KeyNameError(f"scopes must be among {', '.join(Scope)}, not {', '.join(scopes) or 'none'}")
    locations = _read_buckets(buckets)
    prefix = _find_prefix(key)
    try:
        with engine.begin() as connection:
            connection.execute(
                INSERT_KEY,
                {
                    "prefix": prefix,
                    "name": name,
                    "sha256": _hash(key),
                    "scopes": sorted(set(scopes)),
                    "buckets": sorted(set(locations)),
                },
            )
            if done_by is not None:
                record_operation(connection, done_by, action, f"key {name} ({prefix})")
    except IntegrityError as error:
        if getattr(getattr(error.orig, "diag", None), "constraint_name", None) == KEY_CONSTRAINT:
            raise KeyNameError("this key was stored before: use another one") from error
        raise KeyNameError(f"a key {name!r} exists: revoke it first, or choose another name") from error


def _check_name(name: str) -> None:
    if not name.strip():
        raise KeyNameError("a key needs a name")
    if name == CANARY_SUBMITTER:
        raise KeyNameError(f"{name!r} is reserved for canaries: choose another name")


def _read_buckets(buckets: Sequence[str]) -> list[str]:
    try:
        return [str(read_location(bucket)) for bucket in buckets]
    except ValueError as error:
        raise KeyNameError(f"a bucket is s3://BUCKET or s3://BUCKET/PREFIX, or gs://… or az://…: {error}") from error


# The columns for `read_key`.
KEY_COLUMNS = "name, prefix, scopes, api_keys.created_at, revoked_at, buckets"

# All keys, oldest first.
LIST_KEYS = text(f"SELECT {KEY_COLUMNS} FROM api_keys ORDER BY created_at, prefix")


def list_keys(engine: Engine) -> list[ApiKey]:
    """Return all keys, including revoked ones, oldest first."""
    with connect_to_read(engine) as connection:
        rows = connection.execute(LIST_KEYS)
        return [read_key(row) for row in rows]


# Revokes the key in use with this name.
REVOKE_KEY = text("UPDATE api_keys SET revoked_at = now() WHERE name = :name AND revoked_at IS NULL RETURNING prefix")


def revoke_key(engine: Engine, name: str, *, done_by: str | None = None) -> None:
    """Revoke the key of this name at once; records who it was `done_by`, if given.

    APIs that have cached it are notified within milliseconds. Raises KeyNameError if there is no such key in use.
    """
    with engine.begin() as connection:
        revoked = connection.execute(REVOKE_KEY, {"name": name}).one_or_none()
        if revoked is not None:
            connection.execute(text(f"NOTIFY {KEYS}, '{REVOKED}'"))
            if done_by is not None:
                record_operation(connection, done_by, Action.REVOKE_KEY, f"key {name} ({revoked.prefix})")
    if revoked is None:
        raise KeyNameError(f"no key {name!r} is in use; `starlight keys list` lists them")


# The key in use with this prefix.
FIND_KEY = text(f"SELECT {KEY_COLUMNS}, sha256 FROM api_keys WHERE prefix = :prefix AND revoked_at IS NULL")


def find_key(engine: Engine, key: str) -> ApiKey | None:
    """Return the key if it is in use, else None; the time this takes reveals nothing about stored secrets."""
    prefix = _find_prefix(key)
    with connect_to_read(engine) as connection:
        row = connection.execute(FIND_KEY, {"prefix": prefix}).one_or_none()
    if not hmac.compare_digest(row.sha256 if row else NO_HASH, _hash(key)) or row is None:
        return None
    return read_key(row)


def read_key(row: Row[Any]) -> ApiKey:
    """Return the key of a row with `KEY_COLUMNS`."""
    scopes = tuple(Scope.read(scope) for scope in row.scopes)
    buckets = None if row.buckets is None else tuple(read_location(bucket) for bucket in row.buckets)
    return ApiKey(row.name, row.prefix, scopes, row.created_at, row.revoked_at, buckets)


def _find_prefix(key: str) -> str:
    """Return the part of a key that may be shown; for an imported key, a part of its hash."""
    parts = key.split("_")
    is_ours = len(parts) == 3 and parts[0] == "starlight" and key.isascii() and key.isprintable()
    return parts[1] if is_ours else _hash(key).hex()[: 2 * PREFIX_BYTES]


def _hash(key: str) -> bytes:
    # No slow hash is needed: 256 random bits cannot be guessed from this one.
    return hashlib.sha256(key.encode("utf-8", "surrogatepass")).digest()
