"""The views of analysts: their contents, and who may read them."""

from collections import Counter
from collections.abc import Iterator
from datetime import UTC
from itertools import groupby

import psycopg
import pytest
from sqlalchemy import Engine, text

from research.filling import JOB_IMAGES, NotEmptyError, fill_verdicts
from starlight_vocabulary.records import to_json
from starlight_vocabulary.verdict import VERDICT_KEYS
from storage.analysts import VIEWS, AnalystError, create_analyst
from storage.database import connect
from tests.kit.analyst_questions import read_columns
from tests.kit.generated_verdicts import JOBS, Generated, drop_role, generate_verdicts, make_role_name
from tests.kit.rows import execute


@pytest.fixture
def analyst_name(session_servers: tuple[str, str]) -> Iterator[str]:
    """A separate name. Requested before the database, whose grants go first."""
    name = make_role_name()
    yield name
    drop_role(session_servers[0], name)


@pytest.fixture(scope="module")
def generated(session_servers: tuple[str, str]) -> Iterator[Generated]:
    with generate_verdicts(session_servers[0]) as filled:
        yield filled


def test_the_page_explains_every_column_of_every_view(engine: Engine) -> None:
    with engine.connect() as connection:
        listed = connection.execute(
            text("""
                SELECT table_name, column_name, data_type FROM information_schema.columns
                JOIN information_schema.views USING (table_schema, table_name)
                WHERE table_schema = 'public' ORDER BY table_name, ordinal_position
            """)
        ).all()

    there = {view: [(row[1], row[2]) for row in rows] for view, rows in groupby(listed, lambda row: row[0])}
    assert there == read_columns()
    assert set(there) == set(VIEWS)


def test_the_view_of_verdicts_says_what_the_interface_says(generated: Generated) -> None:
    rows = generated.analyst.execute(f"SELECT {', '.join(VERDICT_KEYS)} FROM verdict").fetchall()

    assert len(rows) == JOBS * JOB_IMAGES - 1
    seen = {(row[0], row[1]): dict(zip(VERDICT_KEYS, row, strict=True)) for row in rows}
    for verdict in generated.verdicts:
        row, said = seen[verdict.job_id, verdict.ordinal], to_json(verdict)
        row["sha256"] = row["sha256"].hex() if row["sha256"] else None
        assert row.pop("confidence") == pytest.approx(said.pop("confidence"))
        assert {**row, "job_id": str(row["job_id"]), "scanned_at": row["scanned_at"].isoformat()} == {
            key: said[key] for key in row
        } | {"scanned_at": verdict.scanned_at.isoformat()}


def test_an_analyst_reads_the_views_and_nothing_else(analyst_name: str, engine: Engine) -> None:
    with psycopg.connect(create_analyst(engine, analyst_name), autocommit=True) as analyst:
        relations = analyst.execute("""
            SELECT relname, relkind = 'v', has_table_privilege(oid, 'SELECT'),
                has_table_privilege(oid, 'INSERT, UPDATE, DELETE, TRUNCATE, REFERENCES, TRIGGER')
            FROM pg_class WHERE relnamespace = 'public'::regnamespace AND relkind IN ('r', 'v', 'm', 'p', 'f')
        """).fetchall()
        assert {name for name, is_view, *_ in relations if is_view} == set(VIEWS)
        assert len(relations) > len(VIEWS)
        assert all(may_read == is_view and not may_write for _, is_view, may_read, may_write in relations)
        for name in VIEWS:
            analyst.execute(f"SELECT * FROM {name}")
        for refused in (
            "SELECT * FROM api_keys",
            "SELECT uri FROM verdicts",
            "CREATE TABLE mine ()",
            "SET ROLE starlight",
        ):
            analyst.execute("SET default_transaction_read_only = off")
            with pytest.raises(psycopg.errors.InsufficientPrivilege):
                analyst.execute(refused)
        roles = analyst.execute(
            """
            SELECT rolsuper, rolcreaterole, rolcreatedb, rolreplication, rolbypassrls FROM pg_roles WHERE rolname = %s
            """,
            [analyst_name],
        ).fetchall()
        assert roles == [(False,) * 5]


def test_a_password_is_replaced_only_where_it_is_asked_for_and_only_that_of_an_analyst(
    analyst_name: str, engine: Engine
) -> None:
    first = create_analyst(engine, analyst_name)

    with pytest.raises(AnalystError, match="--new-password"):
        create_analyst(engine, analyst_name)
    second = create_analyst(engine, analyst_name, new_password=True)

    assert second != first
    psycopg.connect(second).close()
    with pytest.raises(psycopg.OperationalError, match="password"):
        psycopg.connect(first)
    for name, complaint in (
        ("starlight", "not an analyst"),
        ('a"b', "valid name"),
        ("", "valid name"),
        ("Ann", "valid name"),
        (f"{analyst_name}_2", "there is no analyst"),
    ):
        with pytest.raises(AnalystError, match=complaint):
            create_analyst(engine, name, new_password=True)


def test_who_may_not_make_roles_is_told_so(analyst_name: str, engine: Engine) -> None:
    execute(engine, f"CREATE ROLE {analyst_name} LOGIN PASSWORD 'weak'")
    weak = connect(engine.url.set(username=analyst_name, password="weak").render_as_string(hide_password=False))

    with pytest.raises(AnalystError, match=f"{analyst_name} may not create roles"):
        create_analyst(weak, f"{analyst_name[:40]}_other")
    weak.dispose()


def test_days_are_those_of_utc_whatever_the_session_says(generated: Generated) -> None:
    expected = Counter(verdict.scanned_at.astimezone(UTC).date() for verdict in generated.verdicts)

    for zone in ("UTC", "America/New_York", "Pacific/Auckland"):
        generated.analyst.execute(f"SET timezone = '{zone}'")
        counted = generated.analyst.execute(
            "SELECT day, sum(verdicts)::int FROM daily_verdicts GROUP BY day"
        ).fetchall()
        assert dict(counted) == expected
    generated.analyst.execute("RESET timezone")


def test_nothing_made_up_comes_among_jobs_that_there_are(generated: Generated) -> None:
    with pytest.raises(NotEmptyError):
        fill_verdicts(generated.engine, 1)


def test_views_of_an_empty_database_are_empty(engine: Engine) -> None:
    with engine.connect() as connection:
        for name in VIEWS:
            assert connection.execute(text(f"SELECT * FROM {name}")).all() == []


def test_a_job_without_time_has_no_rate(engine: Engine) -> None:
    execute(
        engine,
        """
        INSERT INTO jobs (submitter, priority, total, state, started_at, finished_at)
        VALUES ('ann', 'bulk', 1, 'running', NULL, NULL), ('ann', 'bulk', 1, 'done', now(), now())
        """,
    )
    with engine.connect() as connection:
        rows = connection.execute(
            text("SELECT seconds, images_per_minute, waiting FROM job_summary ORDER BY state")
        ).all()
    assert rows == [(0.0, None, 1), (None, None, 1)]
