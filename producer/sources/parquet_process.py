"""`python -m producer.sources.parquet_process COLUMN REMOTE_SIZE LIMITS`: read a column of a Parquet file.

Like `producer.sources.unpacking_process` it sends members, one for each row with a value. For an image, the member's
name is `b` and the image's name, followed by its bytes; for a URI it is `u` and the URI, without bytes. The process may
be killed at any time, and reads no settings.
"""

import json
import sys
from collections.abc import Callable, Iterator
from functools import partial
from typing import IO, Any, Final

import pyarrow as pa
import pyarrow.parquet as pq

from producer.sources.archive_reading import PIECE_BYTES, ArchiveLimits, DamagedError, Entry
from producer.sources.unpacking_frames import MAX_NAME_BYTES
from producer.sources.unpacking_process import serve

# Rows in memory at once; images have about 100 KB each.
ROWS_AT_ONCE: Final = 64
IMAGE: Final = "b"
URI: Final = "u"


def read(column: str, file: IO[bytes], limits: ArchiveLimits, tell_progress: Callable[[], None]) -> Iterator[Entry]:
    """Yield the values of a column; raises DamagedError if it does not exist, or has neither URIs nor images."""
    pa.set_memory_pool(pa.system_memory_pool())
    table = pq.ParquetFile(file, pre_buffer=False, buffer_size=PIECE_BYTES)
    if column not in table.schema_arrow.names:
        raise DamagedError(f"has no column {column!r}; it has {', '.join(map(repr, table.schema_arrow.names))}")
    describe = choose_reading(table.schema_arrow.field(column).type, column)
    most = limits.max_member_bytes
    for batch in table.iter_batches(batch_size=ROWS_AT_ONCE, columns=[column], use_threads=False):
        for value in batch.column(0):
            found = value.as_py()
            if found is not None and (entry := describe(found, most)) is not None:
                yield entry
        tell_progress()


def choose_reading(kind: Any, column: str) -> Callable[[Any, int], Entry | None]:  # noqa: ANN401 - Arrow has no types
    """Return the function that converts values of this type into entries; raises DamagedError."""
    if pa.types.is_dictionary(kind):
        kind = kind.value_type
    if pa.types.is_string(kind) or pa.types.is_large_string(kind):
        return describe_uri
    if pa.types.is_binary(kind) or pa.types.is_large_binary(kind):
        return describe_image
    if pa.types.is_struct(kind) and kind.get_field_index("bytes") >= 0:
        return describe_struct
    raise DamagedError(f"has neither URIs nor images in the column {column!r}; its type is {kind}")


def describe_uri(uri: str, most: int) -> Entry | None:
    """Return the entry of a URI, or of a path."""
    return Entry(f"{URI}{uri}", iter(())) if uri else None


def describe_image(data: bytes, most: int, name: str = "") -> Entry:
    """Return the entry of an image, cut after `most` bytes."""
    pieces = (data[at : min(most, at + PIECE_BYTES)] for at in range(0, min(most, len(data)), PIECE_BYTES))
    return Entry(f"{IMAGE}{name}", pieces)


def describe_struct(found: dict[str, Any], most: int) -> Entry | None:
    """Return the entry of an image by its bytes or else its path, the columns that Hugging Face writes."""
    data, path = found["bytes"], found.get("path") or ""
    return describe_uri(path, most) if data is None else describe_image(data, most, path[: MAX_NAME_BYTES // 4])


if __name__ == "__main__":
    serve(partial(read, sys.argv[1]), sys.argv[3], json.loads(sys.argv[2]))
