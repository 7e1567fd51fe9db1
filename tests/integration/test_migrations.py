"""The migrations result in the schema that the code defines."""

import uuid
from concurrent.futures import ThreadPoolExecutor

from alembic import command
from sqlalchemy import Engine, inspect, text

from starlight_vocabulary.words import Judgement
from storage.audits import audit_jobs
from storage.chunks import finish_chunk
from storage.database import connect
from storage.judgements import judge, list_judgements
from storage.schema_version import build_alembic_config, upgrade_schema
from tests.kit.databases import compare_with_code
from tests.kit.rows import claim_waiting_chunks, execute, finish_waiting_chunks, make_verdicts, submit_job_of

# A verdict of a job that is submitted weeks from now.
INSERT_LATER = """
    WITH stored AS (
        INSERT INTO jobs (id, submitter, priority, total) VALUES (uuidv7(interval '50 days'), 'ann', 'bulk', 1)
        RETURNING id
    )
    INSERT INTO verdicts (job_id, ordinal, landed, uri, outcome, error_code)
    SELECT id, 0, 0, 'file:///later', 'error', 'empty' FROM stored
"""


def test_the_newest_migration_is_the_schema_in_the_code(engine: Engine) -> None:
    compare_with_code(engine)


def test_upgrading_from_several_processes_at_once_is_safe(database_url: str) -> None:
    engine = connect(database_url)
    command.downgrade(build_alembic_config(engine), "base")

    with ThreadPoolExecutor(4) as pool:
        list(pool.map(lambda _: upgrade_schema(connect(database_url)), range(4)))

    compare_with_code(engine)
    engine.dispose()


def test_downgrading_leaves_nothing_behind(engine: Engine) -> None:
    command.downgrade(build_alembic_config(engine), "base")

    assert inspect(engine).get_table_names() == ["alembic_version"]


def test_verdicts_are_taken_over_while_they_are_written(database_url: str) -> None:
    engine = connect(database_url)
    config = build_alembic_config(engine)
    command.downgrade(config, "0030")
    # A statement that waits longer than a migration may block others fails.
    writing = connect(f"{database_url}?options=-c%20lock_timeout%3D5s")
    job_id = submit_job_of(writing, 400, chunk_size=1)
    claims = claim_waiting_chunks(writing)
    assert finish_chunk(writing, claims[0], make_verdicts(writing, claims[0]))
    judge(engine, job_id, claims[0].first_ordinal, Judgement.TRUE, "", "olga")

    def write() -> int:
        written = 1
        for claim in claims[1:-1]:
            written += finish_chunk(writing, claim, make_verdicts(writing, claim))
        return written

    with writing.connect() as reader, ThreadPoolExecutor(2) as pool:
        # A reader blocks the start of the migration, which must retry without blocking others.
        reader.execute(text("SELECT count(*) FROM verdicts"))
        migrated = pool.submit(command.upgrade, config, "head")
        written = pool.submit(write)
        written.result()
        assert not migrated.done()
        reader.rollback()
        migrated.result()
    assert finish_chunk(writing, claims[-1], make_verdicts(writing, claims[-1]))

    assert [audit.exact for audit in audit_jobs(engine, [job_id])] == [True]
    assert len(list_judgements(engine, job_id, claims[0].first_ordinal)) == 1
    writing.dispose()
    engine.dispose()


def test_what_an_operator_added_to_verdicts_stays(engine: Engine) -> None:
    role = f"reader_{uuid.uuid4().hex}"
    config = build_alembic_config(engine)
    command.downgrade(config, "0030")
    execute(
        engine,
        f"""
        CREATE ROLE {role};
        GRANT SELECT ON verdicts TO {role};
        GRANT UPDATE (uri) ON verdicts TO {role};
        CREATE INDEX of_an_operator ON verdicts (width) WHERE width > 100;
        CREATE VIEW newest AS SELECT max(scanned_at) AS newest FROM verdicts;
        GRANT SELECT ON newest TO {role};
        ALTER TABLE verdicts ALTER sha256 SET STATISTICS 500;
    """,
    )
    job_id = submit_job_of(engine, 3)
    finish_waiting_chunks(engine)
    asked = f"""
        SELECT has_table_privilege('{role}', 'verdicts', 'SELECT'), has_table_privilege('{role}', 'newest', 'SELECT'),
            has_column_privilege('{role}', 'verdicts', 'uri', 'UPDATE'), (SELECT newest IS NOT NULL FROM newest),
            (SELECT indexdef LIKE '%%(width) WHERE (width > 100)' FROM pg_indexes WHERE indexname = 'of_an_operator'),
            (SELECT attstattarget FROM pg_attribute WHERE attrelid = 'verdicts'::regclass AND attname = 'sha256'),
            (SELECT count(*) FROM verdicts)
    """
    found: list[tuple[object, ...]] = []
    for move, revision in ((command.upgrade, "head"), (command.downgrade, "0030"), (command.upgrade, "head")):
        move(config, revision)
        if not found:
            # The row goes to a new partition.
            execute(engine, INSERT_LATER)
        with engine.connect() as connection:
            found.append(tuple(connection.exec_driver_sql(asked).one()))

    assert found == [(True, True, True, True, True, 500, 4)] * 3
    assert [audit.exact for audit in audit_jobs(engine, [job_id])] == [True]
    execute(engine, f"DROP OWNED BY {role}; DROP ROLE {role}")
