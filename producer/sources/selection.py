"""Selecting names below a folder or prefix, or in an archive, by glob patterns."""

import os
from collections.abc import Sequence
from dataclasses import dataclass
from fnmatch import fnmatchcase

from producer.sources.archives import is_archive


@dataclass(frozen=True, slots=True)
class Selection:
    """Names that match a pattern of `include`, or all if it is empty, and none of `exclude`.

    `*` matches any characters, also slashes. A pattern without a slash is matched against the last segment of the name,
    a pattern with one against the path relative to the source.
    """

    include: Sequence[str] = ()
    exclude: Sequence[str] = ()

    def accepts(self, name: str) -> bool:
        """Whether a name is selected."""
        return (not self.include or _matches(name, self.include)) and not _matches(name, self.exclude)


def _matches(name: str, patterns: Sequence[str]) -> bool:
    last = name.rpartition("/")[2]
    return any(fnmatchcase(name if "/" in pattern else last, pattern) for pattern in patterns)


EVERYTHING = Selection()


def is_selected(name: bytes, selection: Selection) -> bool:
    """Whether a file of this name is selected; of an archive, whether its members are to be looked at."""
    known = os.fsdecode(name)
    return not _matches(known, selection.exclude) if is_archive(name) else selection.accepts(known)
