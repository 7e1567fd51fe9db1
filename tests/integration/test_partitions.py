"""Partitions of verdicts: created ahead, taking over rows of the default one, and dropped with old jobs."""

import time
import uuid
from concurrent.futures import ThreadPoolExecutor
from datetime import UTC, datetime, timedelta

import pytest
from sqlalchemy import Engine, text

from producer.cli.doctor.check_results import Condition
from producer.cli.doctor.installation import check_partitions
from producer.dispatching.partition_keeper import PartitionKeeper
from research.filling import cut_partitions
from starlight_vocabulary.words import Judgement
from storage.audits import audit_jobs
from storage.jobs import list_jobs
from storage.judgements import judge, list_judgements
from storage.partitions import (
    MONTHS_AHEAD,
    PartitionError,
    PartitionFigures,
    begin_month,
    drop_oldest_partition,
    find_lowest_id,
    list_partitions,
    make_partition_ahead,
    read_moment,
    read_partition_figures,
)
from storage.purging import purge_partitions
from storage.verdict_search import VerdictFilter, find_verdicts
from tests.kit.rows import execute, finish_waiting_chunks, submit_job_of
from tests.kit.threads import PATIENCE_S

LONG_AGO = timedelta(days=30)
# A job of 60 days ago with a verdict, a judgement, and rows in the other tables of jobs.
INSERT_OLD_JOB = text("""
    WITH stored AS (
        INSERT INTO jobs (id, submitter, priority, state, total, error, finished_at)
        SELECT uuidv7(interval '-60 days'), 'ann', 'bulk', 'done', 1, 1, now() - interval '60 days' RETURNING id
    ), cut AS (
        INSERT INTO chunks (job_id, submitter, priority, first_ordinal, refs, images, state)
        SELECT id, 'ann', 'bulk', 0, ARRAY['file:///old'], 1, 'done' FROM stored
    )
    INSERT INTO verdicts (job_id, ordinal, landed, uri, outcome, error_code)
    SELECT id, 0, 0, 'file:///old', 'error', 'empty' FROM stored RETURNING job_id
""")


def insert_old_job(engine: Engine) -> uuid.UUID:
    with engine.begin() as connection:
        job_id: uuid.UUID = connection.execute(INSERT_OLD_JOB).scalar_one()
    judge(engine, job_id, 0, Judgement.UNSURE, "", "olga")
    return job_id


def read_names(engine: Engine) -> list[str]:
    with engine.connect() as connection:
        return [each.name for each in list_partitions(connection)]


def ask(engine: Engine, query: str) -> object:
    with engine.connect() as connection:
        return connection.execute(text(query)).scalar_one()


def drop_partition(engine: Engine, name: str) -> None:
    execute(engine, f"ALTER TABLE verdicts DETACH PARTITION {name}")
    execute(engine, f"DROP TABLE {name}")


def end_ranges_in_the_past(engine: Engine) -> None:
    """Leave only a partition of jobs older than forty days, as if no partition had been created for long."""
    cut_partitions(engine, 2, 80.0)
    for name in read_names(engine)[1:]:
        drop_partition(engine, name)


def test_an_id_and_its_moment_follow_from_each_other() -> None:
    moment = datetime(2027, 1, 1, tzinfo=UTC)

    assert find_lowest_id(moment).version == 7
    assert read_moment(find_lowest_id(moment)) == moment
    assert begin_month(datetime(2026, 11, 28, tzinfo=UTC), 2) == moment


def test_partitions_are_made_ahead_by_one_of_many(engine: Engine) -> None:
    drop_partition(engine, read_names(engine)[-1])

    with ThreadPoolExecutor(4) as pool:
        list(pool.map(lambda _: PartitionKeeper(engine, None).keep(), range(4)))

    names = read_names(engine)
    assert len(names) == len(set(names))
    assert read_partition_figures(engine).ahead_s > timedelta(days=28 * MONTHS_AHEAD).total_seconds()
    assert make_partition_ahead(engine) is None
    # Before PostgreSQL 15, statistics appear in this view only after a while.
    deadline = time.monotonic() + PATIENCE_S
    while not ask(engine, "SELECT last_analyze IS NOT NULL FROM pg_stat_all_tables WHERE relname = 'verdicts'"):
        assert time.monotonic() < deadline


def test_a_partition_has_what_the_table_and_the_one_before_it_have(engine: Engine) -> None:
    *_, before, newest = read_names(engine)
    drop_partition(engine, newest)
    execute(engine, f"ALTER TABLE {before} SET (autovacuum_vacuum_scale_factor = 0.01)")
    execute(engine, "ALTER TABLE verdicts ALTER sha256 SET STATISTICS 500")
    execute(engine, "CREATE INDEX verdicts_of_an_operator ON verdicts (width)")

    name = make_partition_ahead(engine)

    assert name == newest
    assert ask(engine, f"SELECT reloptions FROM pg_class WHERE oid = '{name}'::regclass") == [
        "autovacuum_vacuum_scale_factor=0.01"
    ]
    targets = f"SELECT attstattarget FROM pg_attribute WHERE attrelid = '{name}'::regclass AND attname = 'sha256'"
    assert ask(engine, targets) == 500
    for count in (
        "SELECT count(*) FROM pg_statistic_ext WHERE stxrelid = '{}'::regclass",
        "SELECT count(*) FROM pg_index WHERE indrelid = '{}'::regclass",
    ):
        assert ask(engine, count.format(name)) == ask(engine, count.format("verdicts"))


def test_who_waits_for_a_lock_gives_up_soon_and_others_go_on(engine: Engine) -> None:
    drop_partition(engine, read_names(engine)[-1])
    with engine.begin() as connection:
        connection.execute(text("LOCK TABLE jobs IN ROW EXCLUSIVE MODE"))

        with pytest.raises(PartitionError, match="a long transaction locks"):
            make_partition_ahead(engine)
        submit_job_of(engine, 1)

    assert make_partition_ahead(engine) is not None


def test_what_fits_nowhere_is_stored_counted_and_has_a_partition_soon(engine: Engine) -> None:
    end_ranges_in_the_past(engine)
    job_id = submit_job_of(engine, 5)
    finish_waiting_chunks(engine)
    judge(engine, job_id, 3, Judgement.TRUE, "", "olga")
    assert read_partition_figures(engine).unplaced == 5
    assert read_partition_figures(engine).ahead_s < 0

    PartitionKeeper(engine, None).keep()

    assert read_partition_figures(engine).unplaced == 0
    assert read_partition_figures(engine).ahead_s > 0
    assert len(list(find_verdicts(engine, VerdictFilter(job_id=job_id)))) == 5
    assert len(list_judgements(engine, job_id, 3)) == 1
    execute(engine, f"DELETE FROM jobs WHERE id = '{job_id}'")
    assert list_judgements(engine, job_id, 3) == []


def test_a_partition_that_was_empty_is_looked_at_anew(engine: Engine) -> None:
    first = read_names(engine)[0]
    execute(engine, "ANALYZE verdicts")
    submit_job_of(engine, 5)
    finish_waiting_chunks(engine)
    count = f"SELECT reltuples FROM pg_class WHERE oid = '{first}'::regclass"
    assert ask(engine, count) == 0

    PartitionKeeper(engine, None).keep()

    assert ask(engine, count) == 5


@pytest.mark.parametrize(
    ("unplaced", "days", "condition"),
    [(0, 40, Condition.WELL), (1, 40, Condition.WARNING), (0, 10, Condition.WARNING)],
)
def test_doctor_tells_of_partitions_that_are_missing(unplaced: int, days: int, condition: Condition) -> None:
    assert check_partitions(PartitionFigures(3, 86400.0 * days, unplaced)).condition is condition


def test_jobs_of_no_time_are_told_of_and_left_alone(engine: Engine) -> None:
    end_ranges_in_the_past(engine)
    job_id = submit_job_of(engine, 1)
    finish_waiting_chunks(engine)
    execute(
        engine,
        """
        ALTER TABLE verdicts DROP CONSTRAINT fk_verdicts_job_id;
        INSERT INTO verdicts (job_id, ordinal, landed, uri, outcome, error_code)
        VALUES ('ffffffff-ffff-7fff-bfff-ffffffffffff', 0, 0, 'file:///odd', 'error', 'empty')
    """,
    )

    with pytest.raises(PartitionError, match=r"docs/runbook\.md"):
        make_partition_ahead(engine)

    assert read_partition_figures(engine).unplaced == 2
    assert [audit.exact for audit in audit_jobs(engine, [job_id])] == [True]


def test_a_partition_goes_with_its_jobs_once_all_of_them_ended_long_ago(engine: Engine) -> None:
    cut_partitions(engine, 2, 80.0)
    old, lasting = insert_old_job(engine), insert_old_job(engine)
    execute(engine, f"UPDATE jobs SET finished_at = NULL, state = 'running' WHERE id = '{lasting}'")
    young = submit_job_of(engine, 2)
    finish_waiting_chunks(engine)
    keeper = PartitionKeeper(engine, LONG_AGO)

    keeper.purge()
    assert {job.id for job in list_jobs(engine)} == {old, lasting, young}
    execute(engine, f"UPDATE jobs SET finished_at = now() - interval '29 days', state = 'done' WHERE id = '{lasting}'")
    keeper.purge()
    assert len(list(find_verdicts(engine, VerdictFilter()))) == 4
    execute(engine, f"UPDATE jobs SET finished_at = now() - interval '31 days' WHERE id = '{lasting}'")
    keeper.purge()

    assert "verdicts_part_0" not in read_names(engine)
    assert [job.id for job in list_jobs(engine)] == [young]
    assert {verdict.job_id for verdict in find_verdicts(engine, VerdictFilter())} == {young}
    assert ask(engine, "SELECT count(*) FROM judgements") == 0
    assert ask(engine, "SELECT count(*) FROM chunks") == 1
    assert [audit.exact for audit in audit_jobs(engine)] == [True]


def test_what_an_interrupted_purge_left_is_deleted_by_the_next(engine: Engine) -> None:
    cut_partitions(engine, 2, 80.0)
    insert_old_job(engine)
    before = datetime.now(UTC) - LONG_AGO
    assert drop_oldest_partition(engine, before) is not None
    assert len(list_jobs(engine)) == 1

    assert list(purge_partitions(engine, before)) == [1]

    assert list_jobs(engine) == []
