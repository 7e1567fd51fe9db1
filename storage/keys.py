"""API keys: a random secret each, shown once and stored as a hash."""

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
from storage.database import KEYS, REVOKED, connect_to_read
from storage.operations import record_operation
from storage.settings import CANARY_SUBMITTER

PREFIX_BYTES = 6
SECRET_BYTES = 32
# Of a key that was made elsewhere, characters.
MIN_IMPORTED = 32
MAX_IMPORTED = 512
MIN_ALPHABET = 8
KEY_CONSTRAINT = "pk_api_keys"
# What a key that is unknown is compared with, so that it takes as long as one that is known.
NO_HASH = bytes(hashlib.sha256().digest_size)


class KeyNameError(ValueError):
    """A key that cannot be created or revoked; the message says why."""


@dataclass(frozen=True, slots=True)
class ApiKey:
    """A key as it is listed: `prefix` is the part that may be shown; times in UTC."""

    name: str
    prefix: str
    scopes: tuple[Scope, ...]
    created_at: datetime
    revoked_at: datetime | None
    buckets: tuple[Location, ...] | None = None
    """What its references to buckets must lie in; None: any bucket, of keys that are older than this rule."""

    def may_name(self, location: Location) -> bool:
        """Whether the key's references may lie there; an admin's may lie anywhere."""
        return self.buckets is None or self.allows(Scope.ADMIN) or location.lies_in(self.buckets)

    def allows(self, scope: Scope) -> bool:
        """Whether the key gives this right; `admin` gives all."""
        return scope in self.scopes or Scope.ADMIN in self.scopes


# A new key; its name is taken where another of this name is in use.
INSERT_KEY = text("""
    INSERT INTO api_keys (prefix, name, sha256, scopes, buckets) VALUES (:prefix, :name, :sha256, :scopes, :buckets)
""")


def create_key(
    engine: Engine, name: str, scopes: Sequence[str], buckets: Sequence[str] = (), *, done_by: str | None = None
) -> str:
    """Store a new key and return it, the only time that it can be read; who it was `done_by` is recorded, if named.

    `buckets` are `s3://BUCKET` or `s3://BUCKET/PREFIX`, or of `gs://` or `az://`; without any, the key can name no
    object. Raises KeyNameError for an empty or reserved name, an unknown scope or none, what is no bucket, and where a
    key of this name is in use.
    """
    key = f"starlight_{secrets.token_hex(PREFIX_BYTES)}_{secrets.token_hex(SECRET_BYTES)}"
    _store_key(engine, key, name, scopes, buckets, Action.CREATE_KEY, done_by)
    return key


def import_key(
    engine: Engine, key: str, name: str, scopes: Sequence[str], buckets: Sequence[str] = (), *, done_by: str | None
) -> None:
    """Store a key that was made elsewhere, so that who has it need not change it; else as `create_key`.

    Raises KeyNameError also for a key that somebody might guess, or that no header can carry.
    """
    is_sendable = key.isascii() and key.isprintable() and " " not in key
    if not is_sendable or not MIN_IMPORTED <= len(key) <= MAX_IMPORTED or len(set(key)) < MIN_ALPHABET:
        raise KeyNameError(
            f"a key that is imported has {MIN_IMPORTED} to {MAX_IMPORTED} characters of ASCII without spaces, of which "
            f"{MIN_ALPHABET} or more differ: make it with `openssl rand -hex 32`"
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
    if not name.strip():
        raise KeyNameError("a key needs a name")
    if name == CANARY_SUBMITTER:
        raise KeyNameError(f"{name!r} submits canaries alone: take another name")
    if not scopes or set(scopes) - set(Scope):
        raise KeyNameError(f"scopes are some of {', '.join(Scope)}, not {', '.join(scopes) or 'none'}")
    try:
        locations = [str(read_location(bucket)) for bucket in buckets]
    except ValueError as error:
        raise KeyNameError(f"buckets are s3://BUCKET or s3://BUCKET/PREFIX, or gs://… or az://…: {error}") from error
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
            raise KeyNameError("this key was stored before: make another one") from error
        raise KeyNameError(f"there is a key {name!r} already: revoke it first, or take another name") from error


# What `read_key` reads.
KEY_COLUMNS = "name, prefix, scopes, api_keys.created_at, revoked_at, buckets"

# All keys, oldest first.
LIST_KEYS = text(f"SELECT {KEY_COLUMNS} FROM api_keys ORDER BY created_at, prefix")


def list_keys(engine: Engine) -> list[ApiKey]:
    """Return all keys, those that were revoked too, oldest first."""
    with connect_to_read(engine) as connection:
        rows = connection.execute(LIST_KEYS)
        return [read_key(row) for row in rows]


# The end of the key of this name that is in use.
REVOKE_KEY = text("UPDATE api_keys SET revoked_at = now() WHERE name = :name AND revoked_at IS NULL RETURNING prefix")


def revoke_key(engine: Engine, name: str, *, done_by: str | None = None) -> None:
    """End the key of this name at once; who it was `done_by` is recorded, if named.

    An API that has just let it in hears of it, within milliseconds.

    Raises KeyNameError where none is in use.
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
    """Return the key if it is in use, else None; how long that takes says nothing about stored secrets."""
    prefix = _find_prefix(key)
    with connect_to_read(engine) as connection:
        row = connection.execute(FIND_KEY, {"prefix": prefix}).one_or_none()
    if not hmac.compare_digest(row.sha256 if row else NO_HASH, _hash(key)) or row is None:
        return None
    return read_key(row)


def read_key(row: Row[Any]) -> ApiKey:
    """Return the key of a row of `KEY_COLUMNS`."""
    scopes = tuple(Scope.read(scope) for scope in row.scopes)
    buckets = None if row.buckets is None else tuple(read_location(bucket) for bucket in row.buckets)
    return ApiKey(row.name, row.prefix, scopes, row.created_at, row.revoked_at, buckets)


def _find_prefix(key: str) -> str:
    """Return the part of a key that may be shown: of one that was made elsewhere, of its hash."""
    parts = key.split("_")
    is_ours = len(parts) == 3 and parts[0] == "starlight" and key.isascii() and key.isprintable()
    return parts[1] if is_ours else _hash(key).hex()[: 2 * PREFIX_BYTES]


def _hash(key: str) -> bytes:
    # Not a slow hash: the secret has 256 random bits, nobody guesses it from this.
    return hashlib.sha256(key.encode("utf-8", "surrogatepass")).digest()
