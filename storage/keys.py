"""API keys: a random secret each, shown once and stored as a hash."""

import hashlib
import hmac
import secrets
from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime

from sqlalchemy import Engine, text
from sqlalchemy.exc import IntegrityError

from storage.database import reading
from storage.schema import SCOPES

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
    scopes: tuple[str, ...]
    created_at: datetime
    revoked_at: datetime | None

    def may(self, scope: str) -> bool:
        """Whether the key gives this right; `admin` gives all."""
        return scope in self.scopes or "admin" in self.scopes


def create_key(engine: Engine, name: str, scopes: Sequence[str]) -> str:
    """Store a new key and return it, the only time that it can be read.

    Raises KeyNameError for an empty name, an unknown scope or none, and where a key of this name is in use.
    """
    if not name.strip():
        raise KeyNameError("a key needs a name")
    if not scopes or set(scopes) - set(SCOPES):
        raise KeyNameError(f"scopes are some of {', '.join(SCOPES)}, not {', '.join(scopes) or 'none'}")
    prefix, secret = secrets.token_hex(PREFIX_BYTES), secrets.token_hex(SECRET_BYTES)
    key = f"starlight_{prefix}_{secret}"
    try:
        with engine.begin() as connection:
            connection.execute(
                text("INSERT INTO api_keys (prefix, name, sha256, scopes) VALUES (:prefix, :name, :sha256, :scopes)"),
                {"prefix": prefix, "name": name, "sha256": _hashed(key), "scopes": sorted(set(scopes))},
            )
    except IntegrityError as error:
        raise KeyNameError(f"there is a key {name!r} already: revoke it first, or take another name") from error
    return key


def list_keys(engine: Engine) -> list[ApiKey]:
    """Return all keys, those that were revoked too, oldest first."""
    with reading(engine) as connection:
        rows = connection.execute(
            text("SELECT name, prefix, scopes, created_at, revoked_at FROM api_keys ORDER BY created_at, prefix")
        )
        return [ApiKey(row.name, row.prefix, tuple(row.scopes), row.created_at, row.revoked_at) for row in rows]


def revoke_key(engine: Engine, name: str) -> None:
    """End the key of this name, from its next request on; raises KeyNameError where none is in use."""
    with engine.begin() as connection:
        revoked = connection.execute(
            text("UPDATE api_keys SET revoked_at = now() WHERE name = :name AND revoked_at IS NULL RETURNING prefix"),
            {"name": name},
        ).one_or_none()
    if revoked is None:
        raise KeyNameError(f"no key {name!r} is in use; `starlight keys list` lists them")


def find_key(engine: Engine, key: str) -> ApiKey | None:
    """Return the key if it is in use, else None; how long that takes says nothing about stored secrets."""
    prefix = key.split("_")[1] if key.count("_") == 2 and key.isascii() and key.isprintable() else ""
    with reading(engine) as connection:
        row = connection.execute(
            text("SELECT name, prefix, sha256, scopes, created_at FROM api_keys WHERE prefix = :prefix"
                 " AND revoked_at IS NULL"),
            {"prefix": prefix},
        ).one_or_none()  # fmt: skip
    if not hmac.compare_digest(row.sha256 if row else NO_HASH, _hashed(key)) or row is None:
        return None
    return ApiKey(row.name, row.prefix, tuple(row.scopes), row.created_at, None)


def _hashed(key: str) -> bytes:
    # Not a slow hash: the secret has 256 random bits, nobody guesses it from this.
    return hashlib.sha256(key.encode("utf-8", "surrogatepass")).digest()
