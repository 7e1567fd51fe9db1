"""The versions in which objects were submitted before, on disk however many there are."""

import sqlite3
from collections.abc import Iterable
from typing import Final

# Stands in no version: behind it is the archive that a reference is a member of.
OF: Final = "@"


def describe_member_version(version: str, archive: str) -> str:
    """Return the version of a member of an archive in a bucket: that of the archive, and which that is."""
    return f"{version}{OF}{archive}"


class KnownVersions:
    """Objects by URI, with their versions; of two of the same URI, the later one counts."""

    def __init__(self, versions: Iterable[tuple[str, str]]) -> None:
        # Without a name, it is a temporary file that is gone with the connection. Threads use it one after the other.
        self._database = sqlite3.connect("", check_same_thread=False)
        self._database.execute("CREATE TABLE known (uri TEXT PRIMARY KEY, version TEXT) WITHOUT ROWID")
        self._database.executemany("INSERT OR REPLACE INTO known VALUES (?, ?)", map(_read, versions))

    def has(self, uri: str, version: str) -> bool:
        """Whether the object was submitted in this version last."""
        found = self._database.execute("SELECT version FROM known WHERE uri = ?", (uri,)).fetchone()
        return found is not None and found[0] == version


def _read(listed: tuple[str, str]) -> tuple[str, str]:
    """Return what was listed, with its version: an object, or the archive that a reference is a member of."""
    uri, (version, of, archive) = listed[0], listed[1].partition(OF)
    return (archive if of else uri, version)
