"""Programs that are connected to the database, the age of waiting jobs, and the server's version and clock."""

from dataclasses import dataclass

from sqlalchemy import Engine, text

from starlight_vocabulary.words import Priority
from storage.database import connect_to_read
from storage.pauses import IS_PAUSED


@dataclass(frozen=True, slots=True)
class LiveProgram:
    """A connected program: `dispatcher`, `api`, a worker's name and so on, and its version if known."""

    program: str
    version: str | None


# Programs by their application names. Listeners are a program's second connection.
LIST_PROGRAMS = text("""
    SELECT DISTINCT split_part(application_name, ' ', 2) AS program,
        nullif(split_part(application_name, ' ', 3), '') AS version
    FROM pg_stat_activity
    WHERE datname = current_database() AND starts_with(application_name, 'starlight ')
        AND application_name <> 'starlight listener' AND pid <> pg_backend_pid()
    ORDER BY 1, 2
""")


def list_programs(engine: Engine) -> list[LiveProgram]:
    """Return the connected programs of this installation, except this connection."""
    with connect_to_read(engine) as connection:
        return [LiveProgram(row.program, row.version) for row in connection.execute(LIST_PROGRAMS)]


# The age of the oldest job with chunks that could be dispatched, by priority.
MEASURE_AGES = text(f"""
    SELECT priority, extract(epoch FROM now() - min(created_at))::float8 AS age_s FROM jobs
    WHERE state IN ('pending', 'running') AND NOT canary AND EXISTS (
        SELECT FROM chunks WHERE chunks.state = 'pending' AND chunks.priority = jobs.priority
            AND chunks.submitter = jobs.submitter AND chunks.job_id = jobs.id
            AND (not_before IS NULL OR not_before <= now()) AND NOT {IS_PAUSED}
    )
    GROUP BY priority
""")


def measure_ages(engine: Engine) -> dict[Priority, float]:
    """Return the seconds that the oldest job has waited, by priority; ignores paused and put-off chunks."""
    with connect_to_read(engine) as connection:
        return {Priority.read(row.priority): row.age_s for row in connection.execute(MEASURE_AGES)}


# PostgreSQL's version, as 180000, and its clock in seconds since 1970.
READ_SERVER = text("""
    SELECT current_setting('server_version_num')::int AS version, current_setting('server_version') AS named,
        extract(epoch FROM clock_timestamp())::float8 AS clock
""")


def read_server(engine: Engine) -> tuple[int, str, float]:
    """Return PostgreSQL's version as a number and as text, and its clock in seconds since 1970."""
    with connect_to_read(engine) as connection:
        row = connection.execute(READ_SERVER).one()
    return row.version, row.named, row.clock
