"""Sessions of the page: random secrets that the browser keeps instead of a key; their hashes are stored."""

import hashlib
import secrets
from dataclasses import dataclass
from datetime import timedelta

from sqlalchemy import Engine, text

from storage.database import connect_to_read
from storage.keys import KEY_COLUMNS, ApiKey, read_key

TOKEN_BYTES = 32
# How old the recorded time of the last request may be, to avoid a write for each request.
NOTED_EVERY = timedelta(minutes=1)


@dataclass(frozen=True, slots=True)
class SessionLimits:
    """The maximum duration of a session, in total and without a request."""

    lifetime: timedelta
    idle: timedelta


# Inserts a session of a key, and deletes all expired ones.
OPEN_SESSION = text("""
    WITH ended AS (
        DELETE FROM sessions WHERE created_at < now() - :lifetime OR seen_at < now() - :idle
    )
    INSERT INTO sessions (sha256, key_prefix) VALUES (:sha256, :prefix)
""")


def open_session(engine: Engine, key: ApiKey, limits: SessionLimits) -> str:
    """Store a new session of a key, and return its token, which cannot be read again later."""
    token = secrets.token_urlsafe(TOKEN_BYTES)
    parameters = {"lifetime": limits.lifetime, "idle": limits.idle, "sha256": _hash(token), "prefix": key.prefix}
    with engine.begin() as connection:
        connection.execute(OPEN_SESSION, parameters)
    return token


# The key of a valid session, and whether its last request was recorded some time ago.
FIND_SESSION = text(f"""
    SELECT {KEY_COLUMNS}, sessions.seen_at < now() - :noted_every AS is_due
    FROM sessions JOIN api_keys ON prefix = key_prefix
    WHERE sessions.sha256 = :sha256 AND revoked_at IS NULL
        AND sessions.created_at > now() - :lifetime AND seen_at > now() - :idle
""")

# Records a request.
NOTE_USE = text("UPDATE sessions SET seen_at = now() WHERE sha256 = :sha256")


def find_session_key(engine: Engine, token: str, limits: SessionLimits) -> ApiKey | None:
    """Return the key of a session, None if it does not exist or has expired, or its key was revoked."""
    parameters = {"sha256": _hash(token), "lifetime": limits.lifetime, "idle": limits.idle, "noted_every": NOTED_EVERY}
    with connect_to_read(engine) as connection:
        row = connection.execute(FIND_SESSION, parameters).one_or_none()
        if row is None:
            return None
        if row.is_due:
            connection.execute(NOTE_USE, {"sha256": parameters["sha256"]})
    return read_key(row)


# Deletes one session, or all of its key.
END_SESSION = text("DELETE FROM sessions WHERE sha256 = :sha256")
END_SESSIONS = text("DELETE FROM sessions WHERE key_prefix = :prefix")


def end_session(engine: Engine, token: str) -> None:
    """End a session; a missing one is not an error."""
    with engine.begin() as connection:
        connection.execute(END_SESSION, {"sha256": _hash(token)})


def end_sessions(engine: Engine, key: ApiKey) -> None:
    """End all sessions of a key."""
    with engine.begin() as connection:
        connection.execute(END_SESSIONS, {"prefix": key.prefix})


def _hash(token: str) -> bytes:
    # The lookup is by hash, of 256 random bits, so its duration reveals nothing useful.
    return hashlib.sha256(token.encode("utf-8", "surrogatepass")).digest()
