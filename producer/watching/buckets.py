"""Watching a prefix of a bucket: it is listed regularly, and each version of an object is submitted once."""

import time
from collections.abc import Callable, Iterable, Iterator, Sequence
from functools import partial
from itertools import islice
from typing import Final

from producer.sources.listing import list_prefix, read_prefix
from producer.sources.selection import Selection
from producer.sources.storing import BlobWriter
from producer.watching.source import Arrivals, Progress, handle_large_archive
from storage.submission import ListedObject, Reference

# Returns the references of an object: itself, or the members of an archive.
Refer = Callable[[BlobWriter, ListedObject], Iterable[Reference]]

# Largest number of objects in one job.
OBJECTS_AT_ONCE: Final = 1000


class BucketSource:
    """All objects below a prefix, listed every `every_s` seconds. Objects appear atomically, so none has to settle."""

    def __init__(self, uri: str, refer: Refer, selection: Selection, *, every_s: float) -> None:
        self._location = read_prefix(uri)
        self._refer = refer
        self._selection = selection
        self._every_s = every_s
        self._look_at = 0.0

    @property
    def uri(self) -> str:
        """Return the URI of the prefix."""
        return f"{self._location}/"

    @property
    def saw_everything(self) -> bool:
        """Return True: every look lists all objects."""
        return True

    def find(self, progress: Progress) -> Iterator[Arrivals]:
        """Yield arrivals of up to `OBJECTS_AT_ONCE` objects; raises SourceError if the bucket does not exist."""
        self._look_at = time.monotonic() + self._every_s
        listed = list_prefix(self._location, self._selection)
        while page := list(islice(listed, OBJECTS_AT_ONCE)):
            new = progress.find_new({each.uri: each.version for each in page})
            if new:
                yield Arrivals(partial(self._refer_to, [each for each in page if each.uri in new]), versions=new)

    def wait(self) -> None:
        """Wait until the next look is due."""
        time.sleep(max(0.0, self._look_at - time.monotonic()))

    def _refer_to(self, objects: Sequence[ListedObject], blobs: BlobWriter) -> Iterator[Reference]:
        for each in objects:
            yield from handle_large_archive(each.uri, self._refer(blobs, each))
