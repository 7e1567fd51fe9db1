"""The partitions of `verdicts`: ranges of the job id, a UUIDv7, and so of the time at which a job was submitted.

Each contains the jobs of a month (UTC), the first one all earlier jobs. Verdicts outside all ranges go to a default
partition, which stays empty as long as partitions are created ahead of time.
"""

import re
import uuid
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta

import psycopg
from sqlalchemy import Connection, Engine, text
from sqlalchemy.exc import DBAPIError

from storage.database import connect_to_read, may_succeed_later

DEFAULT = "verdicts_default"
# The advisory lock for creating or dropping partitions.
PARTITION_LOCK = 0x50415254
# Months for which partitions are created in advance.
MONTHS_AHEAD = 2
# With less than this ahead, something prevents the creation of partitions.
LEAST_AHEAD = timedelta(days=14)
# While this waits for a lock, all later requests wait behind it, so the wait is short: less than the second after which
# PostgreSQL resolves deadlocks by ending a transaction.
LOCK_MS = 500
# The foreign key of `judgements`.
JUDGED = "FOREIGN KEY (job_id, ordinal) REFERENCES verdicts (job_id, ordinal) ON DELETE CASCADE"
# Verdicts of the default partition are counted up to this number.
MOST_COUNTED = 10_000
# A job's id may be older than now, because of uploads and clocks.
SETTLED = timedelta(days=1)


class PartitionError(RuntimeError):
    """Partitions cannot be changed now; the message says why."""


@dataclass(frozen=True, slots=True)
class Partition:
    """A partition with ids from `start` (None: unbounded) up to but excluding `end`."""

    name: str
    start: uuid.UUID | None
    end: uuid.UUID


def find_lowest_id(moment: datetime) -> uuid.UUID:
    """Return the lowest UUIDv7 of a time."""
    milliseconds = int((moment - datetime(1970, 1, 1, tzinfo=UTC)) / timedelta(milliseconds=1))
    return uuid.UUID(int=milliseconds << 80 | 7 << 76 | 2 << 62)


# The same in SQL.
LOWEST_ID = (
    "CAST(lpad(to_hex(CAST(1000 * extract(epoch FROM {moment}) AS bigint)), 12, '0') || '70008000000000000000' AS uuid)"
)


def read_moment(made: uuid.UUID) -> datetime:
    """Return the creation time of a UUIDv7."""
    return datetime(1970, 1, 1, tzinfo=UTC) + timedelta(milliseconds=made.int >> 80)


def begin_month(moment: datetime, later: int = 0) -> datetime:
    """Return the beginning of the month (UTC) that contains a time, or of one so many months later."""
    months = 12 * moment.astimezone(UTC).year + moment.astimezone(UTC).month - 1 + later
    return datetime(months // 12, months % 12 + 1, 1, tzinfo=UTC)


# The partitions, with their bounds in SQL.
LIST_PARTITIONS = text("""
    SELECT relname AS name, pg_get_expr(relpartbound, pg_class.oid) AS bounds
    FROM pg_inherits JOIN pg_class ON pg_class.oid = inhrelid WHERE inhparent = 'verdicts'::regclass
""")
BOUNDS = re.compile(r"FOR VALUES FROM \((?:MINVALUE|'(.+)')\) TO \('(.+)'\)")


def list_partitions(connection: Connection) -> list[Partition]:
    """Return the partitions ordered by range, without the default one."""
    ranges = []
    for row in connection.execute(LIST_PARTITIONS):
        if found := BOUNDS.fullmatch(row.bounds):
            start, end = found.groups()
            ranges.append(Partition(row.name, uuid.UUID(start) if start else None, uuid.UUID(end)))
    return sorted(ranges, key=lambda each: each.end)


# LIKE does not copy storage and autovacuum options, nor statistics targets.
COPY_OPTIONS = text("""
    SELECT format('ALTER TABLE %I SET (%s)', CAST(:name AS text), array_to_string(reloptions, ', '))
    FROM pg_class WHERE oid = CAST(:like AS regclass) AND reloptions IS NOT NULL
    UNION ALL
    SELECT format('ALTER TABLE %I ALTER %I SET STATISTICS %s', CAST(:name AS text), attname, attstattarget)
    FROM pg_attribute
    -- Before PostgreSQL 17, dropped columns have the target 0.
    WHERE attrelid = 'verdicts'::regclass AND attnum > 0 AND attstattarget >= 0 AND NOT attisdropped
""")


def create_partition(connection: Connection, name: str, bounds: str, like: str) -> None:
    """Create a partition with these bounds (SQL), the table's indexes and constraints, and another partition's options.

    Attaching it blocks readers and writers of the default partition only.
    """
    connection.execute(text(f"CREATE TABLE {name} (LIKE verdicts INCLUDING ALL)"))
    for statement in connection.execute(COPY_OPTIONS, {"name": name, "like": like}).scalars().all():
        connection.execute(text(statement))
    connection.execute(text(f"ALTER TABLE verdicts ATTACH PARTITION {name} {bounds}"))


def write_bounds(start: uuid.UUID, end: uuid.UUID) -> str:
    """Return the bounds of a partition in SQL."""
    return f"FOR VALUES FROM ('{start}') TO ('{end}')"


def name_partition(start: uuid.UUID) -> str:
    """Return the name of the partition with this start."""
    return f"verdicts_{read_moment(start):%Y_%m}"


LIMIT_WAITING = text(f"SET LOCAL lock_timeout = '{LOCK_MS}ms'")
# Whether no other process creates or drops partitions; the lock ends with the transaction.
TRY_LOCK = text(f"SELECT pg_try_advisory_xact_lock({PARTITION_LOCK})")
READ_TIME = text("SELECT now()")
# In the order in which workers lock them.
LOCK_ALL = text("LOCK TABLE jobs, models, judgements, verdicts IN ACCESS EXCLUSIVE MODE")
LOCK_REFERRED = text("LOCK TABLE jobs, models, judgements IN SHARE ROW EXCLUSIVE MODE")
EXPECTED = {
    psycopg.errors.LockNotAvailable: "a long transaction locks jobs or verdicts; this will be retried",
    psycopg.errors.DeadlockDetected: "a deadlock with other transactions; this will be retried",
    psycopg.errors.InsufficientPrivilege: "this account does not own `verdicts`, or may not create tables",
    psycopg.errors.CheckViolation: f"{DEFAULT} has verdicts of jobs of all times: see docs/runbook.md",
}


@contextmanager
def _change_partitions(engine: Engine) -> Iterator[Connection | None]:
    """Yield a connection with a transaction that may change partitions, None if another process is doing so."""
    try:
        with engine.begin() as connection:
            connection.execute(LIMIT_WAITING)
            yield connection if connection.execute(TRY_LOCK).scalar_one() else None
    except DBAPIError as error:
        for expected, explanation in EXPECTED.items():
            if isinstance(error.orig, expected):
                raise PartitionError(explanation) from error
        if may_succeed_later(error):
            raise
        raise PartitionError(str(error.orig).partition("\n")[0]) from error


# The latest job in the default partition, from the end of all ranges on.
FIND_UNPLACED = text(
    f"SELECT job_id FROM {DEFAULT} WHERE job_id >= :start AND job_id < :end ORDER BY job_id DESC LIMIT 1"
)


def make_partition_ahead(engine: Engine) -> str | None:
    """Create the next missing partition, and return its name; None if none is missing.

    It takes over the later jobs of the default partition, even if they span several months. Raises
    PartitionError.
    """
    with _change_partitions(engine) as connection:
        if connection is None:
            return None
        now = connection.execute(READ_TIME).scalar_one()
        ranges = list_partitions(connection)
        if not ranges:
            raise PartitionError(f"there is only {DEFAULT}: attach a first partition by hand")
        newest = ranges[-1]
        horizon = find_lowest_id(begin_month(now, MONTHS_AHEAD + 1))
        if newest.end >= horizon:
            return None
        name = name_partition(newest.end)
        unplaced = connection.execute(FIND_UNPLACED, {"start": newest.end, "end": horizon}).scalar()
        if unplaced is None:
            connection.execute(LOCK_REFERRED)
            end = begin_month(read_moment(newest.end), 1)
            create_partition(connection, name, write_bounds(newest.end, find_lowest_id(end)), like=newest.name)
        else:
            connection.execute(LOCK_ALL)
            end = begin_month(max(now, read_moment(unplaced)), 1)
            _adopt_default(connection, name, write_bounds(newest.end, find_lowest_id(end)))
    return name


def _adopt_default(connection: Connection, name: str, bounds: str) -> None:
    """Turn the default partition into one with these bounds, and create a new default partition."""
    # A partition referenced by a foreign key cannot be detached.
    connection.execute(text("ALTER TABLE judgements DROP CONSTRAINT fk_judgements_job_id"))
    connection.execute(text(f"ALTER TABLE verdicts DETACH PARTITION {DEFAULT}"))
    connection.execute(text(f"ALTER TABLE {DEFAULT} RENAME TO {name}"))
    connection.execute(text(f"ALTER TABLE verdicts ATTACH PARTITION {name} {bounds}"))
    create_partition(connection, DEFAULT, "DEFAULT", like=name)
    connection.execute(text(f"ALTER TABLE judgements ADD CONSTRAINT fk_judgements_job_id {JUDGED}"))


# Whether a job with a lower id ended after a time, is open, or may still come from an upload.
IS_NEEDED = text("""
    SELECT EXISTS (SELECT FROM uploads WHERE job_id < :end) OR EXISTS (
        SELECT FROM jobs WHERE id < :end AND (finished_at IS NULL OR finished_at >= :before)
    )
""")
DELETE_JUDGEMENTS = text("DELETE FROM judgements WHERE job_id < :end")


def drop_oldest_partition(engine: Engine, before: datetime) -> Partition | None:
    """Drop the oldest partition, with judgements on its verdicts, if all of its jobs ended before a time; return it.

    The jobs remain, to be deleted by the caller. Returns None if there is no such partition. Raises
    PartitionError.
    """
    with connect_to_read(engine) as connection:
        now = connection.execute(READ_TIME).scalar_one()
        over = [each for each in list_partitions(connection) if each.end <= find_lowest_id(min(before, now - SETTLED))]
        if not over or connection.execute(IS_NEEDED, {"end": over[0].end, "before": before}).scalar_one():
            return None
        oldest = over[0]
    with _change_partitions(engine) as connection:
        if connection is None or oldest not in list_partitions(connection):
            return None
        connection.execute(LOCK_ALL)
        connection.execute(DELETE_JUDGEMENTS, {"end": oldest.end})
        connection.execute(text(f"ALTER TABLE verdicts DETACH PARTITION {oldest.name}"))
        connection.execute(text(f"DROP TABLE {oldest.name}"))
    return oldest


def read_time(engine: Engine) -> datetime:
    """Return the server's time."""
    with connect_to_read(engine) as connection:
        moment: datetime = connection.execute(READ_TIME).scalar_one()
    return moment


def read_oldest_id(engine: Engine) -> uuid.UUID | None:
    """Return the lowest id of the partitions, None while the first one is unbounded."""
    with connect_to_read(engine) as connection:
        return next((each.start for each in list_partitions(connection)), None)


# Whether the statistics of the whole table are a day old; autovacuum analyzes only the partitions.
ARE_STATISTICS_OLD = text("""
    SELECT coalesce(last_analyze < now() - interval '1 day', true) FROM pg_stat_all_tables
    WHERE relid = 'verdicts'::regclass
""")
# Partitions that have rows, but were empty when last analyzed: plans still read them completely.
LIST_CALLED_EMPTY = text("""
    SELECT relname FROM pg_inherits JOIN pg_class ON oid = inhrelid
    WHERE inhparent = 'verdicts'::regclass AND reltuples = 0 AND pg_relation_size(oid) > 0
""")


def analyse_partitions(engine: Engine) -> None:
    """Analyze what autovacuum does not, or too late; raises PartitionError."""
    with _change_partitions(engine) as connection:
        if connection is None:
            return
        for name in connection.execute(LIST_CALLED_EMPTY).scalars().all():
            connection.execute(text(f"ANALYZE {name}"))
        if connection.execute(ARE_STATISTICS_OLD).scalar_one():
            version = connection.dialect.server_version_info or (0,)
            # ONLY leaves the partitions to autovacuum; analyzing an empty partition would mark it as empty.
            connection.execute(text(f"ANALYZE {'ONLY' if version >= (18,) else ''} verdicts"))


@dataclass(frozen=True, slots=True)
class PartitionFigures:
    """The number of partitions, seconds until the end of the last range, and verdicts outside all ranges."""

    partitions: int
    ahead_s: float
    unplaced: int


COUNT_UNPLACED = text(f"SELECT count(*) FROM (SELECT FROM {DEFAULT} LIMIT {MOST_COUNTED}) AS counted")


def read_partition_figures(engine: Engine) -> PartitionFigures:
    """Return the figures; verdicts outside all ranges are counted up to `MOST_COUNTED`."""
    with connect_to_read(engine) as connection:
        partitions = list_partitions(connection)
        now = connection.execute(READ_TIME).scalar_one()
        unplaced = connection.execute(COUNT_UNPLACED).scalar_one()
    ahead = read_moment(partitions[-1].end) - now if partitions else timedelta(0)
    return PartitionFigures(len(partitions), ahead.total_seconds(), int(unplaced))
