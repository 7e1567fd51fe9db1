"""The views of analysts: their contents, who may read them, and the questions of docs/analysts.md."""

import statistics
import uuid
from collections import Counter, defaultdict
from collections.abc import Callable, Iterator
from datetime import UTC, datetime, timedelta
from decimal import Decimal
from itertools import groupby
from operator import attrgetter
from typing import Any

import psycopg
import pytest
from sqlalchemy import Engine, text

from research.filling import JOB_IMAGES, NotEmptyError, fill_verdicts
from starlight_vocabulary.records import to_json
from starlight_vocabulary.verdict import VERDICT_KEYS, Verdict
from storage.analysts import VIEWS, AnalystError, create_analyst
from storage.database import connect
from storage.jobs import list_jobs
from storage.verdict_search import VerdictFilter, find_verdicts
from tests.kit.analyst_questions import read_columns, read_questions
from tests.kit.databases import copy_database
from tests.kit.rows import execute

JOBS = 12
DAYS = 3.0
# One whole day, and parts of the days before and after it.
SINCE = (datetime.now(UTC) - timedelta(days=1.5)).replace(hour=0, minute=0, second=0, microsecond=0)


class Generated:
    """A filled database, its verdicts as the interface shows them, and an analyst's connection."""

    def __init__(self, engine: Engine, analyst: "psycopg.Connection[tuple[Any, ...]]") -> None:
        self.engine = engine
        self.analyst = analyst
        self.verdicts = list(find_verdicts(engine, VerdictFilter()))
        self.recent = [verdict for verdict in self.verdicts if verdict.scanned_at >= SINCE]
        self.found = [verdict for verdict in self.recent if verdict.is_stego]
        self.jobs = list_jobs(engine)
        self.submitters = {job.id: job.submitter for job in self.jobs}
        times = Counter(verdict.sha256 for verdict in self.verdicts if verdict.sha256)
        self.file = min(sha256 for sha256, count in times.items() if count > 1)


@pytest.fixture
def analyst_name(session_servers: tuple[str, str]) -> Iterator[str]:
    """A separate name, since roles belong to the server. Requested before the database, whose grants go first."""
    name = f"analyst_{uuid.uuid4().hex}"
    yield name
    drop_role(session_servers[0], name)


@pytest.fixture(scope="module")
def generated(session_servers: tuple[str, str]) -> Iterator[Generated]:
    name = f"analyst_{uuid.uuid4().hex}"
    with copy_database(session_servers[0]) as url:
        engine = connect(url)
        fill_verdicts(engine, JOBS * JOB_IMAGES - 1, DAYS)
        with psycopg.connect(create_analyst(engine, name), autocommit=True) as analyst:
            yield Generated(engine, analyst)
        engine.dispose()
    drop_role(session_servers[0], name)


def drop_role(url: str, name: str) -> None:
    with psycopg.connect(url, autocommit=True) as connection:
        connection.execute(f'DROP ROLE IF EXISTS "{name}"')


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


def day_of(verdict: Verdict) -> datetime:
    return verdict.scanned_at.astimezone(UTC).replace(hour=0, minute=0, second=0, microsecond=0)


def expect_found(data: Generated) -> list[tuple[Any, ...]]:
    ordered = sorted(data.found, key=lambda each: each.ordinal)
    ordered.sort(key=lambda each: (each.scanned_at, each.job_id), reverse=True)
    return [
        (each.scanned_at, each.uri, each.stego_type, each.stego_probability, each.extracted_message)
        for each in ordered[:100]
    ]


def expect_days(data: Generated) -> list[tuple[Any, ...]]:
    counts = Counter((day_of(each).date(), each.outcome.value) for each in data.recent)
    return [(*key, count) for key, count in sorted(counts.items())]


def expect_methods(data: Generated) -> list[tuple[Any, ...]]:
    counts = Counter((data.submitters[each.job_id], each.stego_type) for each in data.found)
    return sorted(((*key, count) for key, count in counts.items()), key=lambda row: (-row[2], row[0], row[1]))


def expect_history(data: Generated) -> list[tuple[Any, ...]]:
    same = sorted(
        (each for each in data.verdicts if each.sha256 == data.file), key=attrgetter("scanned_at", "job_id", "ordinal")
    )
    return [
        (nth, each.scanned_at, data.submitters[each.job_id], each.uri, each.outcome, each.model)
        for nth, each in enumerate(same, 1)
    ]


def expect_disagreements(data: Generated) -> list[tuple[Any, ...]]:
    by_file = defaultdict(list)
    for each in sorted(data.verdicts, key=attrgetter("scanned_at", "job_id", "ordinal")):
        if each.sha256 and each.is_stego is not None:
            by_file[each.sha256].append(each)
    counts: Counter[tuple[str, str, str | None]] = Counter()
    for first, *later in by_file.values():
        for each in later:
            if each.scanned_at >= SINCE and (each.outcome, each.stego_type) != (first.outcome, first.stego_type):
                assert each.model != first.model
                counts[first.outcome.value, each.outcome.value, each.stego_type or first.stego_type] += 1
    return sorted(((*key, count) for key, count in counts.items()), key=lambda row: (-row[3], *row[:3]))


def expect_shares(data: Generated) -> list[tuple[Any, ...]]:
    rows = [(job.id, job.submitter, job.error, job.total, 100 * job.error / job.total) for job in data.jobs]
    return sorted(rows, key=lambda row: (-row[4], row[0]))[:10]


def expect_errors(data: Generated) -> list[tuple[Any, ...]]:
    by_code = defaultdict(list)
    for each in data.recent:
        if each.error_code:
            by_code[each.error_code].append(each.uri)
    rows = [(code, len(uris), min(uris)) for code, uris in by_code.items()]
    return sorted(rows, key=lambda row: (-row[1], row[0]))


def expect_nearly(data: Generated) -> list[tuple[Any, ...]]:
    rows = [
        (each.uri, each.stego_probability, each.threshold)
        for each in data.recent
        if each.outcome == "clean" and each.stego_probability is not None and each.threshold is not None
    ]
    return sorted(rows, key=lambda row: (row[2] - row[1], row[0]))[:20]


def expect_messages(data: Generated) -> list[tuple[Any, ...]]:
    by_message = defaultdict(list)
    for each in data.found:
        if each.extracted_message:
            by_message[each.extracted_message].append(each)
    rows = [
        (message, len({each.sha256 for each in same}), len({data.submitters[each.job_id] for each in same}))
        for message, same in by_message.items()
    ]
    return sorted((row for row in rows if row[1] > 1), key=lambda row: (-row[1], row[0]))[:20]


def expect_drift(data: Generated) -> list[tuple[Any, ...]]:
    groups = defaultdict(list)
    for each in data.recent:
        if each.stego_probability is not None:
            groups[day_of(each), each.model].append(each.stego_probability)
    rows = []
    for key, values in sorted(groups.items()):
        values.sort()
        median, high = (values[-(-len(values) * percent // 100) - 1] for percent in (50, 99))
        rows.append((*key, len(values), statistics.fmean(values), median, high))
    return rows


ANSWERS: dict[int, Callable[[Generated], list[tuple[Any, ...]]]] = {
    1: expect_found, 2: expect_days, 3: expect_methods, 4: expect_history, 5: expect_disagreements,
    6: expect_shares, 7: expect_errors, 8: expect_nearly, 9: expect_messages, 10: expect_drift,
}  # fmt: skip


@pytest.mark.parametrize("number", ANSWERS)
def test_a_question_of_the_page_is_answered_from_the_views(generated: Generated, number: int) -> None:
    parameters = {"since": SINCE, "sha256": bytes.fromhex(generated.file)}

    answered = generated.analyst.execute(read_questions()[number].encode(), parameters).fetchall()

    expected = ANSWERS[number](generated)
    assert expected
    assert len(answered) == len(expected)
    for row, wanted in zip(answered, expected, strict=True):
        told = [float(cell) if isinstance(cell, Decimal) else cell for cell in row]
        assert told == [pytest.approx(cell) if isinstance(cell, float) else cell for cell in wanted]


def test_every_question_of_the_page_has_its_answer_here() -> None:
    assert list(read_questions()) == list(ANSWERS)
