"""PostgreSQL roles for analysts: they can read the views made for them, and nothing else."""

import re
import secrets
from typing import Final

from psycopg import sql
from psycopg.errors import InsufficientPrivilege
from sqlalchemy import Connection, Engine, text

from storage.database import connect_to_read

VIEWS: Final = (
    "verdict", "job_summary", "daily_verdicts", "image_history", "method_by_submitter", "model_comparison",
)  # fmt: skip
"""The views; docs/analysts.md explains every column."""

USUAL_NAME = "starlight_analyst"
PASSWORD_BYTES = 24
# Limits per analyst, so that scanning continues meanwhile. A session may change its timeout: it only guards against
# mistakes.
CONNECTIONS = 10
LONGEST_STATEMENT = "5min"
NAME = re.compile("[a-z_][a-z0-9_]{0,62}")


# Creates a role that has only these rights.
MAKE_ROLE: Final = (
    "{make} ROLE {role} LOGIN NOCREATEDB NOCREATEROLE NOINHERIT CONNECTION LIMIT {limit} PASSWORD {verifier}",
    "COMMENT ON ROLE {role} IS {mark}",
    "ALTER ROLE {role} SET default_transaction_read_only = on",
    "ALTER ROLE {role} SET statement_timeout = {longest}",
    "GRANT SELECT ON {views} TO {role}",
)


MAY_MAKE_TABLES = text("SELECT has_schema_privilege(:name, current_schema(), 'CREATE')")


class AnalystError(ValueError):
    """A role that cannot be created; the message says why."""


# Marks the roles created here, because others must not be changed.
FIND_ROLE = text("SELECT shobj_description(oid, 'pg_authid') FROM pg_roles WHERE rolname = :name")
MARK = "reads the views of Starlight's analysts"


def create_analyst(engine: Engine, name: str = USUAL_NAME, *, new_password: bool = False) -> str:
    """Create a role that may log in and only read the views; return the URL, with its password, to connect with.

    With `new_password`, an existing analyst gets a new password, and its rights are granted again. The server receives
    a verifier instead of the password, so its logs do not contain the password. Raises AnalystError.
    """
    if not NAME.fullmatch(name):
        raise AnalystError(f"{name!r} is not a valid name: use at most 63 of a to z, 0 to 9 and _")
    with connect_to_read(engine) as connection:
        found = connection.execute(FIND_ROLE, {"name": name}).scalars().all()
    if found and found != [MARK]:
        raise AnalystError(f"the role {name} exists and is not an analyst: choose another name")
    if found and not new_password:
        raise AnalystError(f"the analyst {name} exists: choose another name, or use --new-password")
    if new_password and not found:
        raise AnalystError(f"there is no analyst {name}: without --new-password, the command creates it")
    password = secrets.token_urlsafe(PASSWORD_BYTES)
    try:
        with engine.begin() as connection:
            _make_role(connection, name, password, exists=bool(found))
    except InsufficientPrivilege as error:
        raise AnalystError(
            f"{engine.url.username} may not create roles: run `ALTER ROLE {engine.url.username} CREATEROLE`"
        ) from error
    url = engine.url.set(drivername="postgresql", username=name, password=password)
    return url.render_as_string(hide_password=False)


def _make_role(connection: Connection, name: str, password: str, *, exists: bool) -> None:
    driver = connection.connection.driver_connection
    assert driver is not None
    verifier = driver.pgconn.encrypt_password(password.encode(), name.encode(), b"scram-sha-256").decode()
    parts = {
        "role": sql.Identifier(name),
        "make": sql.SQL("ALTER" if exists else "CREATE"),
        "limit": sql.Literal(CONNECTIONS),
        "verifier": sql.Literal(verifier),
        "longest": sql.Literal(LONGEST_STATEMENT),
        "views": sql.SQL(", ").join(map(sql.Identifier, VIEWS)),
        "mark": sql.Literal(MARK),
    }
    for statement in MAKE_ROLE:
        driver.execute(sql.SQL(statement).format(**parts))
    if connection.execute(MAY_MAKE_TABLES, {"name": name}).scalar_one():
        # The default before PostgreSQL 15.
        raise AnalystError(
            "every role may create tables here: run `REVOKE CREATE ON SCHEMA public FROM PUBLIC` as superuser first"
        )
