"""API keys: a random secret each, shown once and stored as a hash."""

import hashlib
import hmac
import secrets
from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime

from sqlalchemy import Engine, text
from sqlalchemy.exc import IntegrityError

from starlight_vocabulary.words import Scope
from storage.database import connect_to_read

PREFIX_BYTES = 6
SECRET_BYTES = 32
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

    def allows(self, scope: Scope) -> bool:
        """Whether the key gives this right; `admin` gives all."""
        return scope in self.scopes or Scope.ADMIN in self.scopes


# A new key; its name is taken where another of this name is in use.
INSERT_KEY = text("INSERT INTO api_keys (prefix, name, sha256, scopes) VALUES (:prefix, :name, :sha256, :scopes)")


def create_key(engine: Engine, name: str, scopes: Sequence[str]) -> str:
    """Store a new key and return it, the only time that it can be read.

    Raises KeyNameError for an empty name, an unknown scope or none, and where a key of this name is in use.
    """
    if not name.strip():
        raise KeyNameError("a key needs a name")
    if not scopes or set(scopes) - set(Scope):
        raise KeyNameError(f"scopes are some of {', '.join(Scope)}, not {', '.join(scopes) or 'none'}")
    prefix, secret = secrets.token_hex(PREFIX_BYTES), secrets.token_hex(SECRET_BYTES)
    key = f"starlight_{prefix}_{secret}"
    try:
        with engine.begin() as connection:
            connection.execute(
                INSERT_KEY, {"prefix": prefix, "name": name, "sha256": _hash(key), "scopes": sorted(set(scopes))}
            )
    except IntegrityError as error:
        raise KeyNameError(f"there is a key {name!r} already: revoke it first, or take another name") from error
    return key


# All keys, oldest first.
LIST_KEYS = text("SELECT name, prefix, scopes, created_at, revoked_at FROM api_keys ORDER BY created_at, prefix")


def list_keys(engine: Engine) -> list[ApiKey]:
    """Return all keys, those that were revoked too, oldest first."""
    with connect_to_read(engine) as connection:
        rows = connection.execute(LIST_KEYS)
        return [ApiKey(row.name, row.prefix, _read_scopes(row.scopes), row.created_at, row.revoked_at) for row in rows]


# The end of the key of this name that is in use.
REVOKE_KEY = text("UPDATE api_keys SET revoked_at = now() WHERE name = :name AND revoked_at IS NULL RETURNING prefix")


def revoke_key(engine: Engine, name: str) -> None:
    """End the key of this name, from its next request on; raises KeyNameError where none is in use."""
    with engine.begin() as connection:
        revoked = connection.execute(REVOKE_KEY, {"name": name}).one_or_none()
    if revoked is None:
        raise KeyNameError(f"no key {name!r} is in use; `starlight keys list` lists them")


# The key in use with this prefix.
FIND_KEY = text("""
    SELECT name, prefix, sha256, scopes, created_at FROM api_keys WHERE prefix = :prefix AND revoked_at IS NULL
""")


def find_key(engine: Engine, key: str) -> ApiKey | None:
    """Return the key if it is in use, else None; how long that takes says nothing about stored secrets."""
    prefix = key.split("_")[1] if key.count("_") == 2 and key.isascii() and key.isprintable() else ""
    with connect_to_read(engine) as connection:
        row = connection.execute(FIND_KEY, {"prefix": prefix}).one_or_none()
    if not hmac.compare_digest(row.sha256 if row else NO_HASH, _hash(key)) or row is None:
        return None
    return ApiKey(row.name, row.prefix, _read_scopes(row.scopes), row.created_at, None)


def _read_scopes(scopes: Sequence[str]) -> tuple[Scope, ...]:
    return tuple(Scope.read(scope) for scope in scopes)


def _hash(key: str) -> bytes:
    # Not a slow hash: the secret has 256 random bits, nobody guesses it from this.
    return hashlib.sha256(key.encode("utf-8", "surrogatepass")).digest()
