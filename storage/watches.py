"""Watches: where each source that is watched stands, moved on in the transaction that stores what was found."""

import uuid
from collections.abc import Mapping
from dataclasses import dataclass, field
from hashlib import sha256

from sqlalchemy import Connection, Engine, text

from storage.database import connect_to_read

# Enough of a SHA-256 that no two names of a source have the same.
NAME_BYTES = 16


class WatchTakenError(Exception):
    """Another process watches this source for the same submitter now; the message says so."""


@dataclass(slots=True)
class Watch:
    """One source that this process watches for a submitter.

    `cursor` is where the source goes on, in its own words; None before its first arrivals have one.
    """

    id: int
    source: str
    cursor: str | None
    steps: int
    holder: uuid.UUID = field(repr=False)


# The watch of a source, which is new, or taken over from whoever had it.
OPEN_WATCH = text("""
    INSERT INTO watches (source, submitter, holder) VALUES (:source, :submitter, :holder)
    ON CONFLICT (submitter, source) DO UPDATE SET holder = excluded.holder, held_since = now()
    RETURNING id, cursor, steps
""")


def open_watch(engine: Engine, source: str, submitter: str) -> Watch:
    """Return the watch of a source as it stands; a process that watched it until now can submit no more."""
    holder = uuid.uuid4()
    with engine.begin() as connection:
        row = connection.execute(OPEN_WATCH, {"source": source, "submitter": submitter, "holder": holder}).one()
    return Watch(row.id, source, row.cursor, row.steps, holder)


# In which version each of these files was submitted.
FIND_VERSIONS = text("SELECT name, version FROM watched_files WHERE watch_id = :id AND name = ANY(:names)")


def find_new(engine: Engine, watch: Watch, versions: Mapping[str, str]) -> dict[str, str]:
    """Return those of the files, by their URIs, that were not submitted in the version that they have here."""
    names = {shorten(uri): uri for uri in versions}
    with connect_to_read(engine) as connection:
        known = {
            names[bytes(row.name)]: row.version
            for row in connection.execute(FIND_VERSIONS, {"id": watch.id, "names": list(names)})
        }
    return {uri: version for uri, version in versions.items() if known.get(uri) != version}


# What was submitted of a watch, unless somebody else has it now.
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
    """Note, in the transaction that submits it, what was found: the next cursor, and files by their URIs.

    Those that `are_gone` will not be seen again, and are known for a while only. Raises WatchTakenError where another
    process watches the source.
    """
    moved = connection.execute(
        ADVANCE_WATCH, {"id": watch.id, "holder": watch.holder, "steps": watch.steps, "cursor": cursor}
    )
    if moved.rowcount != 1:
        raise WatchTakenError(f"another process watches {watch.source} now: this one ends")
    if versions:
        names = {shorten(uri): version for uri, version in versions.items()}
        connection.execute(
            NOTE_FILES, {"id": watch.id, "names": list(names), "versions": list(names.values()), "are_gone": are_gone}
        )


# Where a watch stands.
GET_WATCH = text("SELECT cursor, steps, holder FROM watches WHERE id = :id")


def refresh_watch(engine: Engine, watch: Watch) -> bool:
    """Read where the watch stands now; return whether anything was noted since, if only its commit was not answered.

    Raises WatchTakenError where another process watches the source.
    """
    with connect_to_read(engine) as connection:
        row = connection.execute(GET_WATCH, {"id": watch.id}).one_or_none()
    if row is None or row.holder != watch.holder:
        raise WatchTakenError(f"another process watches {watch.source} now: this one ends")
    moved = bool(row.steps != watch.steps)
    watch.cursor, watch.steps = row.cursor, row.steps
    return moved


def shorten(uri: str) -> bytes:
    """Return the name under which a file of this URI is known."""
    return sha256(uri.encode()).digest()[:NAME_BYTES]
