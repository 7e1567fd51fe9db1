"""PostgreSQL through a pooler that may give each transaction another connection of the server."""

from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor

import psycopg
import pytest
from sqlalchemy import Engine, text
from sqlalchemy.exc import DBAPIError

from starlight_vocabulary.words import JobState
from storage.audits import audit_jobs
from storage.database import connect
from storage.figures import take_figures
from storage.notifications import FINISHED, listen
from storage.processes import list_programs
from storage.schema_version import check_schema, upgrade_schema
from storage.verdict_search import VerdictFilter, find_verdicts
from tests.kit.databases import copy_database
from tests.kit.pooler import pool_transactions
from tests.kit.rows import execute, finish_waiting_chunks, read_job, submit_job_of
from worker.device_lease import DeviceLease, DeviceTakenError

NAME = "cpu0@here"
HOLDERS = """
    SELECT application_name FROM pg_locks JOIN pg_stat_activity USING (pid)
    WHERE locktype = 'advisory' AND datname = current_database()
"""


@pytest.fixture(scope="module")
def urls(session_servers: tuple[str, str]) -> Iterator[tuple[str, str]]:
    """The URLs of a database: through the pooler, and directly."""
    with copy_database(session_servers[0]) as direct, pool_transactions(direct) as pooled:
        yield pooled, direct


@pytest.fixture
def pooled(urls: tuple[str, str]) -> Iterator[Engine]:
    engine = connect(urls[0], direct_url=urls[1], pool_size=8, application="starlight dispatcher")
    yield engine
    engine.dispose()


def test_jobs_are_scanned_at_once_over_fewer_connections_than_ask(pooled: Engine) -> None:
    job_ids = [submit_job_of(pooled, 4, submitter=f"ann{number}", chunk_size=1) for number in range(8)]
    check_schema(pooled)

    # Often enough that psycopg would prepare the repeated statements.
    with ThreadPoolExecutor(8) as threads:
        for ended in [threads.submit(finish_waiting_chunks, pooled) for _ in range(32)]:
            ended.result()
    finish_waiting_chunks(pooled)

    assert {read_job(pooled, job_id).state for job_id in job_ids} == {JobState.DONE}
    assert [audit.exact for audit in audit_jobs(pooled, job_ids)] == [True] * 8
    assert len(list(find_verdicts(pooled, VerdictFilter(job_id=job_ids[0])))) == 4
    take_figures(pooled)


def test_without_the_way_past_it_statements_that_are_prepared_fail(urls: tuple[str, str]) -> None:
    engine = connect(urls[0], pool_size=8)
    with ThreadPoolExecutor(4) as threads:
        errors = [ended.exception() for ended in [threads.submit(read_one, engine) for _ in range(80)]]
    engine.dispose()

    failed = [error for error in errors if error is not None]
    assert failed
    assert all(isinstance(error, DBAPIError) and "prepared statement" in str(error) for error in failed)


def read_one(engine: Engine) -> None:
    with engine.begin() as connection:
        connection.execute(text("SELECT pg_sleep(0.001)"))


def test_what_is_told_is_heard(pooled: Engine) -> None:
    notices = listen(pooled, (FINISHED,), 60.0)
    assert next(notices) == set()
    execute(pooled, f"NOTIFY {FINISHED}, 'a job'")

    assert next(notices) == {"a job"}
    # A program with its own connection is known by its name.
    assert "dispatcher" in {each.program for each in list_programs(pooled)}
    notices.close()  # type: ignore[attr-defined]


def test_a_device_is_held_while_others_use_the_connections(pooled: Engine, urls: tuple[str, str]) -> None:
    lease = DeviceLease(pooled, NAME)
    lease.take()
    with ThreadPoolExecutor(8) as threads:
        list(threads.map(read_one, [pooled] * 32))

    with pytest.raises(DeviceTakenError):
        DeviceLease(pooled, NAME).take()
    with psycopg.connect(urls[1]) as connection:
        held = connection.execute(HOLDERS).fetchall()
    assert [name.startswith(f"starlight {NAME} ") for (name,) in held] == [True]
    lease.stop()


def test_the_schema_is_migrated_past_it(urls: tuple[str, str]) -> None:
    with psycopg.connect(urls[1], autocommit=True) as connection:
        connection.execute("CREATE DATABASE empty_behind_pooler TEMPLATE template0 ENCODING 'UTF8'")
        pooled, direct = (url.rpartition("/")[0] + "/empty_behind_pooler" for url in urls)
        engine = connect(pooled, direct_url=direct)
        try:
            upgrade_schema(engine)
            check_schema(engine)
        finally:
            engine.dispose()
            connection.execute("DROP DATABASE empty_behind_pooler WITH (FORCE)")
