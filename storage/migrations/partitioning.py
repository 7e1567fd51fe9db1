"""Migrating `verdicts` to partitions by time, and back.

Objects that refer to a table by identity instead of name are recreated for the table that takes over its name: views
with their grants, foreign keys, indexes, statistics and grants, including those added by an operator.
"""

import time
from collections.abc import Callable
from dataclasses import dataclass
from datetime import datetime, timedelta

import psycopg
from sqlalchemy import Connection, Engine, text
from sqlalchemy.exc import OperationalError

from storage.partitions import (
    DEFAULT,
    LIMIT_WAITING,
    LOCK_ALL,
    READ_TIME,
    begin_month,
    create_partition,
    find_lowest_id,
    list_partitions,
    name_partition,
    read_moment,
    write_bounds,
)
from storage.schema_version import SchemaError

CHECK = "ck_verdicts_before"
PAUSE_S = 2.0
TRIES = 300
# The migration must be complete before the bound, below which all existing ids are.
LEAST_AHEAD = timedelta(days=7)
# A wrong clock may have created jobs with later times.
FARTHEST_AHEAD = timedelta(days=365)


# A table's own objects, as statements that create them for the table with its name.
CONSTRAINTS = """
    SELECT format('ALTER TABLE %1$s ADD CONSTRAINT %2$I %3$s', conrelid::regclass, conname, pg_get_constraintdef(oid))
    FROM pg_constraint WHERE conrelid = 'verdicts'::regclass AND contype IN ('p', 'f') AND conparentid = 0
"""
INDEXES = """
    SELECT pg_get_indexdef(indexrelid) FROM pg_index WHERE indrelid = 'verdicts'::regclass AND NOT indisprimary
"""
STATISTICS = """
    SELECT pg_get_statisticsobjdef(oid) FROM pg_statistic_ext WHERE stxrelid = 'verdicts'::regclass
"""
TARGETS = """
    SELECT format('ALTER TABLE verdicts ALTER %I SET STATISTICS %s', attname, attstattarget) FROM pg_attribute
    -- Before PostgreSQL 17, dropped columns have the target 0.
    WHERE attrelid = 'verdicts'::regclass AND attnum > 0 AND attstattarget >= 0 AND NOT attisdropped
"""
GRANTEE = "CASE grantee WHEN 0 THEN 'PUBLIC' ELSE quote_ident(pg_get_userbyid(grantee)) END"
GRANTS = f"""
    SELECT format('GRANT %s ON verdicts TO %s %s', privilege_type, {GRANTEE},
        CASE WHEN is_grantable THEN 'WITH GRANT OPTION' END)
    FROM pg_class, aclexplode(relacl) WHERE oid = 'verdicts'::regclass AND grantee <> relowner
    UNION ALL
    SELECT format('GRANT %s (%I) ON verdicts TO %s %s', privilege_type, attname, {GRANTEE},
        CASE WHEN is_grantable THEN 'WITH GRANT OPTION' END)
    FROM pg_attribute, aclexplode(attacl)
    WHERE attrelid = 'verdicts'::regclass AND attnum > 0 AND NOT attisdropped
"""
# Other objects that refer to the table.
REFERENCES = "FROM pg_constraint WHERE confrelid = 'verdicts'::regclass AND contype = 'f' AND conparentid = 0"
REFER = f"""
    SELECT format('ALTER TABLE %1$s ADD CONSTRAINT %2$I %3$s', conrelid::regclass, conname, pg_get_constraintdef(oid))
    {REFERENCES}
"""
UNREFER = f"SELECT format('ALTER TABLE %s DROP CONSTRAINT %I', conrelid::regclass, conname) {REFERENCES}"
VIEWS = """
    SELECT DISTINCT format('CREATE OR REPLACE VIEW %1$s %2$s AS %3$s', view.oid::regclass,
        'WITH (' || array_to_string(view.reloptions, ', ') || ')', pg_get_viewdef(view.oid))
    FROM pg_depend JOIN pg_rewrite ON pg_rewrite.oid = objid JOIN pg_class AS view ON view.oid = ev_class
    WHERE pg_depend.classid = 'pg_rewrite'::regclass AND refclassid = 'pg_class'::regclass
        AND refobjid = 'verdicts'::regclass AND view.relkind = 'v'
"""
# Gives objects new names, so that the other table can have theirs.
RENAME = """
    SELECT format('ALTER INDEX %I RENAME TO %I', relname, left(CASE WHEN relname LIKE '%verdicts%'
        THEN replace(relname, 'verdicts', '{name}') ELSE '{name}_' || relname END, 63))
    FROM pg_index JOIN pg_class ON pg_class.oid = indexrelid WHERE indrelid = 'verdicts'::regclass
    UNION ALL
    SELECT format('ALTER STATISTICS %I RENAME TO %I', stxname, left(CASE WHEN stxname LIKE '%verdicts%'
        THEN replace(stxname, 'verdicts', '{name}') ELSE '{name}_' || stxname END, 63))
    FROM pg_statistic_ext WHERE stxrelid = 'verdicts'::regclass
"""
RENAME_BACK = """
    SELECT format('ALTER INDEX %I RENAME TO %I', part.relname, whole.relname)
    FROM pg_index JOIN pg_inherits ON inhrelid = indexrelid
        JOIN pg_class AS part ON part.oid = inhrelid JOIN pg_class AS whole ON whole.oid = inhparent
    WHERE indrelid = '{name}'::regclass
"""
DROP_STATISTICS = """
    SELECT format('DROP STATISTICS %I', stxname) FROM pg_statistic_ext WHERE stxrelid = '{name}'::regclass
"""
FIND_NEWEST = text("SELECT job_id FROM verdicts WHERE job_id < :end ORDER BY job_id DESC LIMIT 1")
IS_PARTITIONED = "SELECT relkind = 'p' FROM pg_class WHERE oid = 'verdicts'::regclass"


@dataclass(frozen=True, slots=True)
class Definitions:
    """Objects of and references to `verdicts`, as statements that create them; `unrefer` drops the references."""

    constraints: list[str]
    indexes: list[str]
    statistics: list[str]
    rest: list[str]
    unrefer: list[str]
    refer: list[str]


def read_definitions(connection: Connection) -> Definitions:
    """Return the objects of and references to `verdicts`."""
    return Definitions(
        constraints=_read(connection, CONSTRAINTS),
        indexes=_read(connection, INDEXES),
        statistics=_read(connection, STATISTICS),
        rest=_read(connection, TARGETS) + _read(connection, GRANTS),
        unrefer=_read(connection, UNREFER),
        refer=_read(connection, REFER) + _read(connection, VIEWS),
    )


def partition_verdicts(engine: Engine) -> None:
    """Make `verdicts` a partitioned table whose first partition is the existing table, unless it is partitioned.

    Reading and writing continue meanwhile, because long work holds only weak locks. Raises SchemaError
    if a lock cannot be acquired.
    """
    with engine.begin() as connection:
        if is_partitioned(connection):
            return
        now = connection.execute(READ_TIME).scalar_one()
        newest = connection.execute(FIND_NEWEST, {"end": find_lowest_id(now + FARTHEST_AHEAD)}).scalar()
        bound = begin_month(max(now + LEAST_AHEAD, read_moment(newest) if newest else now), 1)
    check = f"ADD CONSTRAINT {CHECK} CHECK (job_id < '{find_lowest_id(bound)}') NOT VALID"
    drop_check = f"ALTER TABLE verdicts DROP CONSTRAINT IF EXISTS {CHECK}"
    _lock_briefly(engine, lambda connection: _run(connection, [drop_check, f"ALTER TABLE verdicts {check}"]))
    try:
        with engine.begin() as connection:
            _run(connection, [f"ALTER TABLE verdicts VALIDATE CONSTRAINT {CHECK}"])
        _lock_briefly(engine, lambda connection: _take_over(connection, bound))
    except BaseException:
        # The constraint must be gone before the bound.
        _lock_briefly(engine, lambda connection: _run(connection, [drop_check]))
        raise


def unite_verdicts(engine: Engine) -> None:
    """Make `verdicts` one table again: copies all partitions but the first, while all access waits."""
    with engine.begin() as connection:
        if is_partitioned(connection):
            _unite(connection)


def is_partitioned(connection: Connection) -> bool:
    """Return whether `verdicts` has partitions."""
    return bool(_read(connection, IS_PARTITIONED)[0])


def _take_over(connection: Connection, bound: datetime) -> None:
    connection.execute(LOCK_ALL)
    known = read_definitions(connection)
    first = f"verdicts_before_{bound:%Y_%m}"
    _run(connection, [*known.unrefer, *_read(connection, RENAME.format(name=first))])
    _run(
        connection,
        [
            f"ALTER TABLE verdicts RENAME TO {first}",
            f"CREATE TABLE verdicts (LIKE {first} INCLUDING ALL EXCLUDING INDEXES EXCLUDING STATISTICS)"
            " PARTITION BY RANGE (job_id)",
            f"ALTER TABLE verdicts DROP CONSTRAINT {CHECK}",
            *known.constraints,
            *known.indexes,
            *known.statistics,
            *known.rest,
            f"ALTER TABLE verdicts ATTACH PARTITION {first} FOR VALUES FROM (MINVALUE) TO ('{find_lowest_id(bound)}')",
            f"ALTER TABLE {first} DROP CONSTRAINT {CHECK}",
        ],
    )
    create_partition(connection, DEFAULT, "DEFAULT", like=first)
    start, end = find_lowest_id(bound), find_lowest_id(begin_month(bound, 1))
    create_partition(connection, name_partition(start), write_bounds(start, end), like=first)
    _run(connection, known.refer)


def _unite(connection: Connection) -> None:
    connection.execute(LOCK_ALL)
    known = read_definitions(connection)
    first = list_partitions(connection)[0].name
    indexes = _read(connection, RENAME_BACK.format(name=first))
    statistics = _read(connection, DROP_STATISTICS.format(name=first))
    _run(
        connection,
        [
            *known.unrefer,
            f"ALTER TABLE verdicts DETACH PARTITION {first}",
            f"INSERT INTO {first} SELECT * FROM verdicts",
            "ALTER TABLE verdicts RENAME TO verdicts_in_partitions",
            f"ALTER TABLE {first} RENAME TO verdicts",
            *known.refer,
            "DROP TABLE verdicts_in_partitions",
            *indexes,
            *statistics,
            *known.statistics,
            *known.rest,
        ],
    )


def _lock_briefly(engine: Engine, work: Callable[[Connection], object]) -> None:
    """Run something in a transaction that gives up quickly when it waits for a lock, and retry it."""
    for _ in range(TRIES):
        try:
            with engine.begin() as connection:
                connection.execute(LIMIT_WAITING)
                work(connection)
        except OperationalError as error:
            if not isinstance(error.orig, psycopg.errors.LockNotAvailable | psycopg.errors.DeadlockDetected):
                raise
            time.sleep(PAUSE_S)
        else:
            return
    raise SchemaError(
        "a long transaction locks jobs or verdicts: find it with `SELECT * FROM pg_stat_activity`, end it, "
        "and run `starlight db upgrade` again"
    )


def _read(connection: Connection, query: str) -> list[str]:
    return list(connection.exec_driver_sql(query.replace("%", "%%")).scalars())


def _run(connection: Connection, statements: list[str]) -> None:
    for statement in statements:
        connection.exec_driver_sql(statement.replace("%", "%%"))
