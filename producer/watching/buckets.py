"""Watching a prefix of a bucket: it is listed again and again, and each version of an object submitted once."""

import time
from collections.abc import Callable, Iterable, Iterator, Sequence
from functools import partial
from itertools import islice
from typing import Final

from producer.sources.listing import list_prefix, read_prefix
from producer.sources.selection import Selection
from producer.sources.storing import BlobWriter
from producer.watching.source import Arrivals, Progress, referred_or_itself
from storage.jobs import ListedObject, Reference

# What one object becomes: itself, or what is in an archive.
Refer = Callable[[BlobWriter, ListedObject], Iterable[Reference]]

# Objects that are submitted as one job, at most.
OBJECTS_AT_ONCE: Final = 1000


class BucketSource:
    """All that lies below a prefix, looked at every `every_s` seconds. Objects are whole as soon as they are there."""

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
        """Whether the last look asked about all there is: each lists everything."""
        return True

    def find(self, progress: Progress) -> Iterator[Arrivals]:
        """Yield objects, many at once; raises SourceError where there is no such bucket."""
        self._look_at = time.monotonic() + self._every_s
        listed = list_prefix(self._location, self._selection)
        while page := list(islice(listed, OBJECTS_AT_ONCE)):
            new = progress.find_new({each.uri: each.version for each in page})
            if new:
                yield Arrivals(partial(self._refer_to, [each for each in page if each.uri in new]), versions=new)

    def wait(self) -> None:
        """Return when it is time to look again."""
        time.sleep(max(0.0, self._look_at - time.monotonic()))

    def _refer_to(self, objects: Sequence[ListedObject], blobs: BlobWriter) -> Iterator[Reference]:
        for each in objects:
            yield from referred_or_itself(each.uri, self._refer(blobs, each))
