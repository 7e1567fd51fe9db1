"""Watches: the position in each watched source, advanced in the transaction that submits its arrivals."""

import uuid
from collections.abc import Mapping
from dataclasses import dataclass, field
from hashlib import sha256

from sqlalchemy import Connection, Engine, text

from storage.database import connect_to_read

# Long enough that the names of a source do not collide.
NAME_BYTES = 16


class WatchTakenError(Exception):
    """Another process now watches this source for the same submitter; the message says so."""


@dataclass(slots=True)
class Watch:
    """A source that this process watches for a submitter.

    `cursor` is the position to continue from, in the source's format; None before the first arrivals.
    """

    id: int
    source: str
    cursor: str | None
    steps: int
    holder: uuid.UUID = field(repr=False)


# Inserts the watch of a source, or takes it over from another process.
OPEN_WATCH = text("""
    INSERT INTO watches (source, submitter, holder) VALUES (:source, :submitter, :holder)
    ON CONFLICT (submitter, source) DO UPDATE SET holder = excluded.holder, held_since = now()
    RETURNING id, cursor, steps
""")


def open_watch(engine: Engine, source: str, submitter: str) -> Watch:
    """Return the current watch of a source; a process that watched it before can submit no more."""
    holder = uuid.uuid4()
    with engine.begin() as connection:
        row = connection.execute(OPEN_WATCH, {"source": source, "submitter": submitter, "holder": holder}).one()
    return Watch(row.id, source, row.cursor, row.steps, holder)


# The submitted versions of these files.
FIND_VERSIONS = text("SELECT name, version FROM watched_files WHERE watch_id = :id AND name = ANY(:names)")


def find_new(engine: Engine, watch: Watch, versions: Mapping[str, str]) -> dict[str, str]:
    """Return those of the files, by URI, whose version here was not submitted yet."""
    names = {hash_name(uri): uri for uri in versions}
    with connect_to_read(engine) as connection:
        known = {
            names[bytes(row.name)]: row.version
            for row in connection.execute(FIND_VERSIONS, {"id": watch.id, "names": list(names)})
        }
    return {uri: version for uri, version in versions.items() if known.get(uri) != version}


# Stores what was submitted of a watch, unless another process has it now.
ADVANCE_WATCH = text("""
    UPDATE watches SET cursor = coalesce(:cursor, cursor), steps = :steps + 1
    WHERE id = :id AND holder = :holder AND steps = :steps
""")
NOTE_FILES = text("""
    INSERT INTO watched_files (watch_id, name, version, absent_since)
    SELECT :id, name, version, CASE WHEN CAST(:are_gone AS bool) THEN now() END
    FROM unnest(CAST(:names AS bytea[]), CAST(:versions AS text[])) AS listed (name, version) ORDER BY name
    ON CONFLICT (watch_id, name) DO UPDATE SET version = excluded.version, absent_since = excluded.absent_since
""")


def note_arrivals(
    connection: Connection, watch: Watch, cursor: str | None, versions: Mapping[str, str], *, are_gone: bool = False
) -> None:
    """Store, in the transaction that submits them, the next cursor and the files found, by URI.

    Files that `are_gone` will not be seen again, and are remembered for a while only. Raises WatchTakenError if another
    process watches the source.
    """
    moved = connection.execute(
        ADVANCE_WATCH, {"id": watch.id, "holder": watch.holder, "steps": watch.steps, "cursor": cursor}
    )
    if moved.rowcount != 1:
        raise WatchTakenError(f"another process watches {watch.source} now: this one ends")
    if versions:
        names = {hash_name(uri): version for uri, version in versions.items()}
        connection.execute(
            NOTE_FILES, {"id": watch.id, "names": list(names), "versions": list(names.values()), "are_gone": are_gone}
        )


# The position of a watch.
GET_WATCH = text("SELECT cursor, steps, holder FROM watches WHERE id = :id")


def refresh_watch(engine: Engine, watch: Watch) -> bool:
    """Reload the watch; return whether anything was stored since, which means that only the commit's answer was lost.

    Raises WatchTakenError if another process watches the source.
    """
    with connect_to_read(engine) as connection:
        row = connection.execute(GET_WATCH, {"id": watch.id}).one_or_none()
    if row is None or row.holder != watch.holder:
        raise WatchTakenError(f"another process watches {watch.source} now: this one ends")
    moved = bool(row.steps != watch.steps)
    watch.cursor, watch.steps = row.cursor, row.steps
    return moved


def hash_name(uri: str) -> bytes:
    """Return the hashed name under which a file with this URI is stored."""
    return sha256(uri.encode()).digest()[:NAME_BYTES]
