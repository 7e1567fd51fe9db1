"""`python -m producer.sources.inventory_process KIND ASKED_SIZE LIMITS`: read one file of an inventory of S3.

KIND is Parquet or ORC, as manifests call them. What it sends is a member for each object that is there, of its URI as
`producer.sources.parquet_process` does. It may be killed, and has no settings.
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

from producer.sources.archive_reading import PIECE_BYTES, DamagedError, Entry, Limits
from producer.sources.parquet_process import URI
from producer.sources.unpacking_process import serve

ORC: Final = "ORC"
NAMES: Final = ("bucket", "key")
# Of versions that are no more, and of marks of what was deleted; not in every inventory.
FLAGS: Final = ("is_latest", "is_delete_marker")
# Of Parquet; of ORC, a stripe is.
ROWS_AT_ONCE: Final = 1024


def read(kind: str, file: IO[bytes], limits: Limits, tell_progress: Callable[[], None]) -> Iterator[Entry]:
    """Yield the objects that are listed and there; raises DamagedError where it is no such file."""
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
    """Yield the rows of a Parquet file, some at once."""
    table = pq.ParquetFile(file, pre_buffer=False, buffer_size=PIECE_BYTES)
    columns = choose_columns(table.schema_arrow.names)
    yield from table.iter_batches(batch_size=ROWS_AT_ONCE, columns=columns, use_threads=False)


def read_orc(file: IO[bytes]) -> Iterator[Any]:
    """Yield the rows of an ORC file, a stripe at once."""
    table = orc.ORCFile(file)
    columns = choose_columns(table.schema.names)
    for number in range(table.nstripes):
        yield table.read_stripe(number, columns=columns)


def choose_columns(names: list[str]) -> list[str]:
    """Return which of the columns are read; raises DamagedError where these are none of an inventory."""
    if not set(NAMES) <= set(names):
        raise DamagedError(f"has not the columns {' and '.join(NAMES)}, but {', '.join(map(repr, names)) or 'none'}")
    return [name for name in (*NAMES, *FLAGS) if name in names]


if __name__ == "__main__":
    serve(partial(read, sys.argv[1]), sys.argv[3], json.loads(sys.argv[2]))
