"""Sessions of the page: a random secret each, that the browser keeps and whose hash is stored, in place of a key."""

import hashlib
import secrets
from dataclasses import dataclass
from datetime import timedelta

from sqlalchemy import Engine, text

from storage.database import connect_to_read
from storage.keys import KEY_COLUMNS, ApiKey, read_key

TOKEN_BYTES = 32
# How old the note of the last request may be: a row is not written for each.
NOTED_EVERY = timedelta(minutes=1)


@dataclass(frozen=True, slots=True)
class SessionLimits:
    """How long a session may last in all, and how long without a request."""

    lifetime: timedelta
    idle: timedelta


# A new session of a key, and the end of all whose time is over.
OPEN_SESSION = text("""
    WITH ended AS (
        DELETE FROM sessions WHERE created_at < now() - :lifetime OR seen_at < now() - :idle
    )
    INSERT INTO sessions (sha256, key_prefix) VALUES (:sha256, :prefix)
""")


def open_session(engine: Engine, key: ApiKey, limits: SessionLimits) -> str:
    """Store a new session of a key, and return its token, the only time that it can be read."""
    token = secrets.token_urlsafe(TOKEN_BYTES)
    parameters = {"lifetime": limits.lifetime, "idle": limits.idle, "sha256": _hash(token), "prefix": key.prefix}
    with engine.begin() as connection:
        connection.execute(OPEN_SESSION, parameters)
    return token


# The key in use of a session whose time is not over, and whether the last request was noted some time ago.
FIND_SESSION = text(f"""
    SELECT {KEY_COLUMNS}, sessions.seen_at < now() - :noted_every AS is_due
    FROM sessions JOIN api_keys ON prefix = key_prefix
    WHERE sessions.sha256 = :sha256 AND revoked_at IS NULL
        AND sessions.created_at > now() - :lifetime AND seen_at > now() - :idle
""")

# That a session is used now.
NOTE_USE = text("UPDATE sessions SET seen_at = now() WHERE sha256 = :sha256")


def find_session_key(engine: Engine, token: str, limits: SessionLimits) -> ApiKey | None:
    """Return the key of a session, None where there is no such session, its time is over or its key revoked."""
    parameters = {"sha256": _hash(token), "lifetime": limits.lifetime, "idle": limits.idle, "noted_every": NOTED_EVERY}
    with connect_to_read(engine) as connection:
        row = connection.execute(FIND_SESSION, parameters).one_or_none()
        if row is None:
            return None
        if row.is_due:
            connection.execute(NOTE_USE, {"sha256": parameters["sha256"]})
    return read_key(row)


# The end of one session, or of all of its key.
END_SESSION = text("DELETE FROM sessions WHERE sha256 = :sha256")
END_SESSIONS = text("DELETE FROM sessions WHERE key_prefix = :prefix")


def end_session(engine: Engine, token: str) -> None:
    """End a session; one that is not there is no error."""
    with engine.begin() as connection:
        connection.execute(END_SESSION, {"sha256": _hash(token)})


def end_sessions(engine: Engine, key: ApiKey) -> None:
    """End all sessions of a key."""
    with engine.begin() as connection:
        connection.execute(END_SESSIONS, {"prefix": key.prefix})


def _hash(token: str) -> bytes:
    # Looked up by its hash, of 256 random bits: how long that takes tells nothing of use.
    return hashlib.sha256(token.encode("utf-8", "surrogatepass")).digest()
