"""Forgetting files of a watch that have long been gone.

Once a day, a full scan of the source is compared with the known files. A missing file is forgotten after it
was missing in every scan for `FORGET_AFTER`: a folder that is unmounted for a while, or not watched,
loses nothing. Names of the chain, whose blocks are read once, count as missing from the start.
"""

import sqlite3
from collections.abc import Iterable
from datetime import timedelta
from typing import Final

from sqlalchemy import Engine, text

from storage.database import connect_to_read
from storage.watches import Watch, hash_name

COMPARE_EVERY: Final = timedelta(days=1)
# Longer than transactions of replaced blocks wait to be mined again: nodes drop them after two weeks.
FORGET_AFTER: Final = timedelta(days=30)
NAMES_AT_ONCE: Final = 5000


class SeenNames:
    """Names of files seen in a scan; kept on disk, so their number does not matter."""

    def __init__(self) -> None:
        # Without a name, SQLite uses a temporary file that it deletes with the connection.
        self._database = sqlite3.connect("", check_same_thread=False)
        self._database.execute("CREATE TABLE seen (name BLOB PRIMARY KEY) WITHOUT ROWID")

    def add(self, uris: Iterable[str]) -> None:
        """Add files that exist."""
        self._database.executemany("INSERT OR IGNORE INTO seen VALUES (?)", ((hash_name(uri),) for uri in uris))

    def has(self, name: bytes) -> bool:
        """Whether the file whose URI has this hashed name was seen."""
        return self._database.execute("SELECT 1 FROM seen WHERE name = ?", (name,)).fetchone() is not None


# Whether a comparison is due.
IS_DUE = text(
    "SELECT compared_at IS NULL OR compared_at < now() - CAST(:every AS interval) FROM watches WHERE id = :id"
)


def is_comparison_due(engine: Engine, watch: Watch) -> bool:
    """Whether the next scan is to be compared with the known files."""
    with connect_to_read(engine) as connection:
        return bool(connection.execute(IS_DUE, {"id": watch.id, "every": COMPARE_EVERY}).scalar())


# Known files, ordered by name.
LIST_FILES = text("""
    SELECT name, absent_since IS NOT NULL AS is_absent FROM watched_files
    WHERE watch_id = :id AND name > :after ORDER BY name LIMIT :limit
""")
# Marks files as gone, and as back.
NOTE_ABSENCE = text("""
    UPDATE watched_files SET absent_since = CASE WHEN name = ANY(:gone) THEN now() END
    WHERE watch_id = :id AND name = ANY(:changed)
""")
FORGET_FILES = text("""
    DELETE FROM watched_files WHERE watch_id = :id AND absent_since < now() - CAST(:after AS interval)
""")
NOTE_COMPARISON = text("UPDATE watches SET compared_at = now() WHERE id = :id")


def forget_gone_files(engine: Engine, watch: Watch, seen: SeenNames | None) -> int:
    """Mark known files that are gone, and forget those that have long been gone; return their number.

    `seen` contains all existing files; without it, nothing is marked.
    """
    if seen is not None:
        after = b""
        while names := _note_absence(engine, watch, seen, after):
            after = names[-1]
    with engine.begin() as connection:
        forgotten = connection.execute(FORGET_FILES, {"id": watch.id, "after": FORGET_AFTER}).rowcount
        connection.execute(NOTE_COMPARISON, {"id": watch.id})
    return forgotten


def _note_absence(engine: Engine, watch: Watch, seen: SeenNames, after: bytes) -> list[bytes]:
    """Mark the next files as gone or back; return the names of all of them."""
    with engine.begin() as connection:
        listed = connection.execute(LIST_FILES, {"id": watch.id, "after": after, "limit": NAMES_AT_ONCE})
        known = {bytes(row.name): row.is_absent for row in listed}
        gone = {name for name in known if not seen.has(name)}
        changed = [name for name, was_absent in known.items() if was_absent != (name in gone)]
        if changed:
            connection.execute(NOTE_ABSENCE, {"id": watch.id, "gone": list(gone), "changed": changed})
    return list(known)
