"""Walking folders of any depth and size, also with link cycles and folders that cannot be opened."""

import os
from collections.abc import Iterator
from dataclasses import dataclass

FolderId = tuple[int, int]


@dataclass(slots=True)
class Open:
    """A folder that is being walked: its identity, its path, and the entries that are left, as (name, is folder)."""

    identity: FolderId
    path: bytes
    entries: Iterator[tuple[bytes, bool]]


def walk_files(top: bytes) -> Iterator[bytes]:
    """Yield the paths of all files below a folder, in the order of names.

    Links to folders are followed, but each real folder is walked once. A folder that cannot be opened is yielded
    itself, and so is a link to a folder that contains it.
    """
    walked: set[FolderId] = set()
    # A stack, innermost last: folders may be nested deeper than Python's recursion limit.
    inside: list[Open] = []
    entering: bytes | None = top
    while inside or entering is not None:
        if entering is not None:
            try:
                opened = open_folder(entering)
            except OSError:
                yield entering
            else:
                if any(outer.identity == opened.identity for outer in inside):
                    yield entering
                elif opened.identity not in walked:
                    walked.add(opened.identity)
                    inside.append(opened)
            entering = None
            continue
        innermost = inside[-1]
        for name, is_folder in innermost.entries:
            path = os.path.join(innermost.path, name)  # noqa: PTH118 - pathlib cannot hold bytes
            if is_folder:
                entering = path
                break
            yield path
        else:
            inside.pop()


def open_folder(path: bytes) -> Open:
    """Return the folder with its entries in the order of names; raises OSError."""
    status = os.stat(path)  # noqa: PTH116 - pathlib cannot hold bytes
    with os.scandir(path) as entries:
        names = sorted((entry.name, leads_to_folder(entry)) for entry in entries)
    return Open((status.st_dev, status.st_ino), path, iter(names))


def leads_to_folder(entry: os.DirEntry[bytes]) -> bool:
    """Whether the entry is a folder or a link to one; broken links and links to themselves are not."""
    try:
        return entry.is_dir()
    except OSError:
        return False
