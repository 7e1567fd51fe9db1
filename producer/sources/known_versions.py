"""The versions of objects that were submitted before; kept on disk, since there may be millions."""

import sqlite3
from collections.abc import Iterable
from typing import Final

# Separates the version of an archive from its URI; versions do not contain it.
OF: Final = "@"


def describe_member_version(version: str, archive: str) -> str:
    """Return the version of a member of an archive in a bucket: the version and the URI of the archive."""
    return f"{version}{OF}{archive}"


class KnownVersions:
    """The last submitted version of each object, by URI; later entries replace earlier ones."""

    def __init__(self, versions: Iterable[tuple[str, str]]) -> None:
        # An empty name is a temporary file that SQLite deletes with the connection. Different threads use it, but
        # never at the same time.
        self._database = sqlite3.connect("", check_same_thread=False)
        self._database.execute("CREATE TABLE known (uri TEXT PRIMARY KEY, version TEXT) WITHOUT ROWID")
        self._database.executemany("INSERT OR REPLACE INTO known VALUES (?, ?)", map(_read, versions))

    def has(self, uri: str, version: str) -> bool:
        """Whether this is the version in which the object was last submitted."""
        found = self._database.execute("SELECT version FROM known WHERE uri = ?", (uri,)).fetchone()
        return found is not None and found[0] == version


def _read(listed: tuple[str, str]) -> tuple[str, str]:
    """Return the URI and version of an object; for a member of an archive, those of the archive."""
    uri, (version, of, archive) = listed[0], listed[1].partition(OF)
    return (archive if of else uri, version)
