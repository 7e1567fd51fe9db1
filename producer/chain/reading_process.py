"""`python -m producer.chain.reading_process KIND ID HEIGHT LIMITS`: read one block or transaction.

Standard input is the data that a node sent; HEIGHT is a number or `-`. Inscriptions are sent as
`producer.sources.unpacking_process` sends members of an archive. The process may be killed at any time, reads no
settings and uses no network.
"""

import sys
from collections.abc import Callable, Iterator
from functools import partial
from typing import IO

from producer.chain.reading import read_images
from producer.chain.wanted import MAX_BLOCK_BYTES, Kind, Wanted
from producer.sources.archive_reading import ArchiveLimits, Entry
from producer.sources.unpacking_process import serve

KINDS: dict[str, Kind] = {"block": "block", "transaction": "transaction"}


def read(wanted: Wanted, sent: IO[bytes], limits: ArchiveLimits, tell_progress: Callable[[], None]) -> Iterator[Entry]:
    """Yield the inscriptions of a block or transaction."""
    for entry in read_images(sent.read(MAX_BLOCK_BYTES), wanted, limits):
        yield entry
        tell_progress()


if __name__ == "__main__":
    kind, identity, height, limits_given = sys.argv[1:]
    serve(partial(read, Wanted(KINDS[kind], identity, None if height == "-" else int(height))), limits_given)
