"""Statements that run all day use indexes, however many rows there are: their plans, on a large database.

The database is filled and analysed like that of a busy installation, so that the planner chooses the same plans. What a
function stores is rolled back instead of committed.
"""

from collections.abc import Iterator

import pytest
from sqlalchemy import event, text

from storage.blobs import Blobs
from storage.database import connect
from storage.message_search import HAS_WORDS
from tests.kit.databases import copy_database
from tests.kit.filled_database import Filled
from tests.kit.queries import QUERIES
from tests.kit.queries.views import COMPARED
from tests.kit.query_plans import explain_queries, take_back

# Tables that grow with the number of scanned images; the other ones stay small.
LARGE = frozenset({
    "jobs", "chunks", "verdicts", "provenance", "seals", "seal_pieces", "webhooks", "api_keys", "blobs", "job_blobs",
    "operations", "canary_rounds",
})  # fmt: skip


@pytest.fixture(scope="module")
def filled(session_servers: tuple[str, str], tmp_path_factory: pytest.TempPathFactory) -> Iterator[Filled]:
    with copy_database(session_servers[0]) as url:
        engine = connect(url)
        filled = Filled(engine, Blobs(tmp_path_factory.mktemp("blobs").as_uri()))
        event.listen(engine, "commit", take_back)
        yield filled
        engine.dispose()


# Before PostgreSQL 18, the planner reads the verdicts of a job by `ix_verdicts_landed`, which begins with the job too,
# and for a day's methods it reads all jobs once rather than the job of each verdict.
HASHED_ON_OLDER_SERVERS = {"view of methods of a day": {"jobs"}}


@pytest.mark.parametrize("name", QUERIES)
def test_a_query_stays_on_its_indexes(filled: Filled, name: str) -> None:
    ask, indexes = QUERIES[name]
    major, *_ = filled.engine.dialect.server_version_info or (0,)
    is_older = int(major) < 18
    may_be_read = HASHED_ON_OLDER_SERVERS.get(name, set()) if is_older else set()

    nodes = explain_queries(filled.engine, lambda: ask(filled))

    assert nodes, f"{name}: no statement was seen"
    for node in nodes:
        if node["Node Type"] == "Seq Scan" and node["Relation Name"] not in may_be_read:
            relation = node["Relation Name"]
            assert relation in filled.empty or filled.whole.get(relation, relation) not in LARGE, f"reads all: {node}"
    used = {filled.whole.get(node["Index Name"], node["Index Name"]) for node in nodes if "Index Name" in node}
    used |= {f"pk_{relation}" for relation in may_be_read}
    if is_older and "ix_verdicts_landed" in used:
        used.add("pk_verdicts")
    reading = [node for node in nodes if {"Relation Name", "Index Name"} & node.keys()]
    assert indexes <= used, f"{name} leaves {indexes - used}: {reading}"


def test_of_a_model_that_is_unknown_no_verdict_is_read(filled: Filled) -> None:
    nodes = explain_queries(filled.engine, lambda: filled.find(model="unknown"))

    assert any("One-Time Filter" in node for node in nodes), nodes


def test_models_are_compared_by_several_processes_as_far_as_to_the_counts(filled: Filled) -> None:
    nodes = explain_queries(filled.engine, lambda: filled.ask_together(COMPARED, time=filled.position.scanned_at))

    assert "Partial" in {node.get("Partial Mode") for node in nodes}, nodes


def test_every_index_of_a_large_table_serves_a_query(filled: Filled) -> None:
    with filled.engine.connect() as connection:
        listed = text("SELECT indexname FROM pg_indexes WHERE tablename = ANY(:tables)")
        there = set(connection.execute(listed, {"tables": list(LARGE)}).scalars())

    assert there == set.union(*(indexes for _, indexes in QUERIES.values()))


def test_a_rare_word_is_known_to_be_rare(filled: Filled) -> None:
    query = f"SELECT FROM verdicts WHERE {HAS_WORDS}"

    with filled.engine.connect() as connection:
        plan = connection.execute(text(f"EXPLAIN (FORMAT JSON) {query}"), {"words": "nowhere"}).scalar_one()

    assert plan[0]["Plan"]["Plan Rows"] < 10
