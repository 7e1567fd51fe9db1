"""Which of the names below a folder, a prefix or in an archive are wanted: by patterns as a shell has them."""

import os
from collections.abc import Sequence
from dataclasses import dataclass
from fnmatch import fnmatchcase

from producer.sources.archives import is_archive


@dataclass(frozen=True, slots=True)
class Selection:
    """Names that match one of `include`, if there is any, and none of `exclude`.

    `*` stands for any characters, slashes too. A pattern without a slash is matched with the last part of a name,
    others with all of it below what was named.
    """

    include: Sequence[str] = ()
    exclude: Sequence[str] = ()

    def accepts(self, name: str) -> bool:
        """Whether a name is wanted."""
        return (not self.include or _matches(name, self.include)) and not _matches(name, self.exclude)


def _matches(name: str, patterns: Sequence[str]) -> bool:
    last = name.rpartition("/")[2]
    return any(fnmatchcase(name if "/" in pattern else last, pattern) for pattern in patterns)


EVERYTHING = Selection()


def is_selected(name: bytes, selection: Selection) -> bool:
    """Whether a file of this name, or something in an archive of this name, may be wanted."""
    known = os.fsdecode(name)
    return not _matches(known, selection.exclude) if is_archive(name) else selection.accepts(known)
