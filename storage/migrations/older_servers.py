"""Replacements for migrations on older servers.

`uuidv7()` came with PostgreSQL 18, the collation `pg_c_utf8` with 17, UNIQUE NULLS NOT DISTINCT with 15.
"""

from sqlalchemy import Connection

# Like the server's own: milliseconds since 1970, then the version, a fraction of the millisecond in 12 bits, and random
# bits. A call takes longer than a microsecond, so each value is greater than the one before.
UUIDV7 = """
    CREATE FUNCTION uuidv7(shift interval DEFAULT '0') RETURNS uuid LANGUAGE sql VOLATILE PARALLEL SAFE
    RETURN (
        SELECT encode(
            int8send(((us / 1000) << 16) | (7 << 12) | (mod(us, 1000) * 4096 / 1000))
                || substring(uuid_send(gen_random_uuid()) FROM 9),
            'hex'
        )::uuid
        FROM (SELECT floor(1000000 * extract(epoch FROM clock_timestamp() + shift))::bigint AS us) AS shifted
    )
"""
HAS_UUIDV7 = 180000
HAS_FOLDING = 170000
HAS_NULLS_NOT_DISTINCT = 150000
# Folds letter by letter with Unicode rules, whatever the database's locale.
OWN_FOLDING = "lower(message COLLATE pg_catalog.pg_c_utf8)"
# ICU folds Σ depending on its neighbours, and İ to two letters; it folds all others as above.
ICU_FOLDING = "lower(translate(message, '\u03a3\u0130', '\u03c3i') COLLATE pg_catalog.\"und-x-icu\")"


def make_uuidv7(connection: Connection) -> None:
    """Create `uuidv7()` in our schema if the server has none."""
    if _read_version(connection) < HAS_UUIDV7:
        connection.exec_driver_sql(UUIDV7)


def drop_uuidv7(connection: Connection) -> None:
    """Drop what `make_uuidv7` created."""
    if _read_version(connection) < HAS_UUIDV7:
        connection.exec_driver_sql("DROP FUNCTION uuidv7(interval)")


def write_folding(connection: Connection) -> str:
    """Return the expression for `message` in lower case."""
    return OWN_FOLDING if _read_version(connection) >= HAS_FOLDING else ICU_FOLDING


def unite_nulls(connection: Connection, table: str, name: str, **absent: str) -> None:
    """Create a unique constraint on some columns, with nulls equal to each other.

    `absent` gives for each column an unused value that stands for null on servers without the feature.
    """
    if _read_version(connection) >= HAS_NULLS_NOT_DISTINCT:
        unique = f"ALTER TABLE {table} ADD CONSTRAINT {name} UNIQUE NULLS NOT DISTINCT ({', '.join(absent)})"
    else:
        columns = ", ".join(f"coalesce({column}, {value})" for column, value in absent.items())
        unique = f"CREATE UNIQUE INDEX {name} ON {table} ({columns})"
    connection.exec_driver_sql(unique)


def _read_version(connection: Connection) -> int:
    return int(connection.exec_driver_sql("SHOW server_version_num").scalar_one())
