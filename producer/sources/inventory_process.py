"""`python -m producer.sources.inventory_process KIND REMOTE_SIZE LIMITS`: read one file of an S3 inventory.

KIND is Parquet or ORC, as in the inventory's manifest. Like `producer.sources.parquet_process`, it sends a member with
the URI of each object that exists. It may be killed at any time, and reads no settings.
"""

import json
import sys
from collections.abc import Callable, Iterator
from functools import partial
from typing import IO, Any, Final
from urllib.parse import quote

import pyarrow as pa
import pyarrow.parquet as pq
from pyarrow import orc

from producer.sources.archive_reading import PIECE_BYTES, ArchiveLimits, DamagedError, Entry
from producer.sources.parquet_process import URI
from producer.sources.unpacking_process import serve

ORC: Final = "ORC"
NAMES: Final = ("bucket", "key")
# Mark noncurrent versions and deleted objects; not every inventory has these columns.
FLAGS: Final = ("is_latest", "is_delete_marker")
# For Parquet; ORC is read a stripe at a time.
ROWS_AT_ONCE: Final = 1024


def read(kind: str, file: IO[bytes], limits: ArchiveLimits, tell_progress: Callable[[], None]) -> Iterator[Entry]:
    """Yield the listed objects that exist; raises DamagedError if the columns are not those of an inventory."""
    pa.set_memory_pool(pa.system_memory_pool())
    for batch in read_orc(file) if kind == ORC else read_parquet(file):
        columns = batch.to_pydict()
        absent = [None] * batch.num_rows
        flags = (columns.get(flag, absent) for flag in FLAGS)
        for bucket, key, is_latest, is_marker in zip(*(columns[name] for name in NAMES), *flags, strict=True):
            if is_latest is not False and is_marker is not True and bucket and key:
                yield Entry(f"{URI}s3://{bucket}/{quote(key)}", iter(()))
        tell_progress()


def read_parquet(file: IO[bytes]) -> Iterator[Any]:
    """Yield the rows of a Parquet file in batches."""
    table = pq.ParquetFile(file, pre_buffer=False, buffer_size=PIECE_BYTES)
    columns = choose_columns(table.schema_arrow.names)
    yield from table.iter_batches(batch_size=ROWS_AT_ONCE, columns=columns, use_threads=False)


def read_orc(file: IO[bytes]) -> Iterator[Any]:
    """Yield the rows of an ORC file, one stripe at a time."""
    table = orc.ORCFile(file)
    columns = choose_columns(table.schema.names)
    for number in range(table.nstripes):
        yield table.read_stripe(number, columns=columns)


def choose_columns(names: list[str]) -> list[str]:
    """Return the columns to read; raises DamagedError if these are not the columns of an inventory."""
    if not set(NAMES) <= set(names):
        raise DamagedError(f"lacks the columns {' and '.join(NAMES)}; it has {', '.join(map(repr, names)) or 'none'}")
    return [name for name in (*NAMES, *FLAGS) if name in names]


if __name__ == "__main__":
    serve(partial(read, sys.argv[1]), sys.argv[3], json.loads(sys.argv[2]))
