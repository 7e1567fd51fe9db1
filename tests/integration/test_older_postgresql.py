"""The oldest PostgreSQL that is installed on this machine: migrations, a job up to its verdicts, and views."""

import unicodedata
import uuid
from collections.abc import Iterator
from pathlib import Path

import psycopg
import pytest
from alembic import command
from sqlalchemy import Engine, text

from research.filling import JOB_IMAGES, fill_verdicts
from starlight_vocabulary.operations import PauseSubject
from starlight_vocabulary.words import BitOrder, JobState, Method, Outcome, Priority
from storage.analysts import VIEWS, create_analyst
from storage.audits import audit_jobs
from storage.chunks import finish_chunk
from storage.database import connect
from storage.message_search import check_part, check_words
from storage.new_verdict import NewVerdict
from storage.partitions import list_partitions, make_partition_ahead
from storage.pauses import pause_chunks
from storage.requeueing import change_priority
from storage.schema_version import SchemaError, build_alembic_config, check_schema, upgrade_schema
from storage.seals import seal_ended_jobs
from storage.verdict_search import VerdictFilter, find_verdicts
from tests.kit.databases import compare_with_code, copy_database, start_postgres
from tests.kit.rows import claim_waiting_chunks, pick_ids, read_job, register_v4, submit_job_of

# Debian's folder with a folder for each version.
DEBIANS = Path("/usr/lib/postgresql")
# Case folding by `unicodedata`, for letters that every version of ICU knows.
LETTERS = [chr(code) for code in range(1, 0x20000) if unicodedata.ucd_3_2_0.category(chr(code)) in ("Lu", "Lt", "Ll")]


def find_older_postgresql() -> Path:
    """Return the folder of the programs; skips the test if there is none."""
    found = sorted(DEBIANS.glob("*/bin/initdb"), key=lambda path: int(path.parts[-3]))
    if not found:
        pytest.skip(f"there is no PostgreSQL in {DEBIANS}: `apt install postgresql`")
    return found[0].parent


@pytest.fixture(scope="module")
def older_url(pytestconfig: pytest.Config) -> Iterator[str]:
    """The URL of a database with the newest schema on this server."""
    with start_postgres(pytestconfig.getoption("postgresql") or find_older_postgresql()) as url:
        engine = connect(url)
        upgrade_schema(engine)
        engine.dispose()
        yield url


@pytest.fixture
def older(older_url: str) -> Iterator[Engine]:
    """An engine on a separate database there."""
    with copy_database(older_url) as url:
        engine = connect(url)
        yield engine
        engine.dispose()


def test_migrations_make_the_schema_in_the_code_and_leave_nothing_behind(older: Engine) -> None:
    check_schema(older)
    compare_with_code(older)

    command.downgrade(build_alembic_config(older), "base")

    with older.connect() as connection:
        left = connection.execute(text("SELECT proname FROM pg_proc WHERE pronamespace = 'public'::regnamespace"))
        assert left.scalars().all() == []


def test_ids_are_versions_7_in_the_order_of_their_making(older: Engine) -> None:
    with older.connect() as connection:
        ids = list(connection.execute(text("SELECT uuidv7() FROM generate_series(1, 10000)")).scalars())
        made_ms, was_ms, now_ms = connection.execute(
            text("""
                SELECT ('x' || left(replace(id::text, '-', ''), 12))::bit(48)::bigint,
                    ('x' || left(replace(earlier::text, '-', ''), 12))::bit(48)::bigint,
                    extract(epoch FROM now()) * 1000
                FROM uuidv7() AS id, uuidv7(interval '-1 hour') AS earlier
            """)
        ).one()

    assert ids == sorted(ids)
    assert len(set(ids)) == len(ids)
    assert {(each.version, each.variant) for each in ids} == {(7, uuid.RFC_4122)}
    assert 0 <= made_ms - int(now_ms) < 60_000
    assert 0 <= was_ms + 3_600_000 - int(now_ms) < 60_000


def test_a_job_goes_its_way(older: Engine) -> None:
    job_id = submit_job_of(older, 5, chunk_size=2)
    assert len(pick_ids(older, Priority.BULK, 1)) == 1
    change_priority(older, job_id, Priority.INTERACTIVE, "olga")

    for claim in claim_waiting_chunks(older, priority=Priority.INTERACTIVE):
        verdicts = [
            NewVerdict(ordinal, uri, Outcome.STEGO, b"\1" * 32, 0.9, Method.RAW, BitOrder.NONE, "ÜBER ΔΞΣ İzmir noon.",
                       model_id=register_v4(older))
            for ordinal, uri in claim.images
        ]  # fmt: skip
        assert finish_chunk(older, claim, verdicts)

    job = read_job(older, job_id)
    assert (job.state, job.stego) == (JobState.DONE, 5)
    assert [audit.exact for audit in audit_jobs(older, [job_id])] == [True]
    assert seal_ended_jobs(older) == 1
    for words in ("über", "δξ\u03c3", "izmir NOON"):
        assert len(list(find_verdicts(older, VerdictFilter(words=check_words(words))))) == 5, words
    for part in ("ber δξ\u03c3 i", "İZ", "NOON."):
        assert len(list(find_verdicts(older, VerdictFilter(part=check_part(part))))) == 5, part
    assert not list(find_verdicts(older, VerdictFilter(words="midnight")))


def test_letters_are_folded_as_by_newer_servers(older: Engine) -> None:
    expected = {letter: letter.lower() if len(letter.lower()) == 1 else "i" for letter in LETTERS}
    with older.connect() as connection:
        rows = connection.execute(
            text("SELECT letter, message_folded('a' || letter) FROM unnest(CAST(:letters AS text[])) AS letter"),
            {"letters": LETTERS},
        ).all()

    assert {letter: folded for letter, folded in rows if folded != "a" + expected[letter]} == {}
    assert len(rows) > 1000


def test_what_is_paused_is_paused_once(older: Engine) -> None:
    job_id = submit_job_of(older, 4)
    for subject in (PauseSubject(), PauseSubject(submitter="ann"), PauseSubject(job_id=job_id)):
        assert pause_chunks(older, subject, "olga").id == pause_chunks(older, subject, "otto").id

    assert pick_ids(older, Priority.BULK, 10) == []


def test_a_partition_is_made_after_a_column_was_dropped(older: Engine) -> None:
    with older.begin() as connection:
        newest = list_partitions(connection)[-1].name
        connection.execute(text(f"ALTER TABLE verdicts DETACH PARTITION {newest}"))
        connection.execute(text(f"DROP TABLE {newest}"))
        connection.execute(text("ALTER TABLE verdicts ADD COLUMN dropped integer"))
        connection.execute(text("ALTER TABLE verdicts DROP COLUMN dropped"))

    assert make_partition_ahead(older) == newest


def test_every_view_is_read_by_an_analyst(older: Engine) -> None:
    name = f"analyst_{uuid.uuid4().hex}"
    fill_verdicts(older, 10 * JOB_IMAGES, 2.0)

    with psycopg.connect(create_analyst(older, name), autocommit=True) as analyst:
        assert {view for view in VIEWS if analyst.execute(f"SELECT FROM {view} LIMIT 1").fetchone() is None} == set()
    with older.begin() as connection:
        connection.execute(text(f'DROP OWNED BY "{name}"'))
        connection.execute(text(f'DROP ROLE "{name}"'))


def test_a_database_of_another_encoding_is_refused(engine: Engine) -> None:
    name = f"test_{uuid.uuid4().hex}"
    with engine.connect().execution_options(isolation_level="AUTOCOMMIT") as connection:
        connection.execute(text(f"CREATE DATABASE {name} ENCODING 'LATIN1' LOCALE 'C' TEMPLATE template0"))
        other = connect(engine.url.set(database=name).render_as_string(hide_password=False))
        with pytest.raises(SchemaError, match="encoding is LATIN1: create another with `CREATE DATABASE"):
            upgrade_schema(other)
        other.dispose()
        connection.execute(text(f"DROP DATABASE {name}"))
