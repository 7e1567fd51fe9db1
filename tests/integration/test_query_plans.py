"""Statements that run all day use indexes, however many rows there are: their plans, on a large database.

The database is filled and analysed like that of a busy installation, so that the planner chooses the same plans. What a
function stores is rolled back instead of committed.
"""

from collections.abc import Callable, Iterator
from datetime import UTC, datetime, timedelta
from itertools import islice

import pytest
from sqlalchemy import event, text

from starlight_vocabulary.job import JobOptions
from starlight_vocabulary.operations import PauseSubject, RequeueRequest
from starlight_vocabulary.words import ErrorCode, Method, Outcome, Priority
from storage.audits import audit_jobs
from storage.blobs import Blobs
from storage.canaries import begin_round, count_answers, delete_abandoned_canaries, end_round, read_canaries
from storage.chunks import claim_chunk, lose_chunk, release_chunks, renew_leases
from storage.comparisons import compare_models
from storage.database import connect
from storage.dispatch import (
    count_expected_messages,
    list_waiting_priorities,
    pick_chunks,
    recover_lost_chunk,
    redate_unclaimed,
)
from storage.draining import is_draining
from storage.drift import sample_probabilities
from storage.exports import list_oldest_first
from storage.failures import count_failures, list_recent_failures, list_retries, retry_job
from storage.figures import take_figures
from storage.jobs import cancel_job, count_finished, get_job, list_jobs
from storage.keys import find_key, revoke_key
from storage.lone_chunks import take_lone_chunks
from storage.message_search import HAS_WORDS
from storage.operations import list_operations
from storage.pauses import list_pauses, pause_chunks
from storage.provenance import find_provenance
from storage.requeueing import change_priority, requeue_chunks
from storage.rescans import Rescanning, list_rescans
from storage.retention import delete_released_blobs, end_expired_uploads, end_retention
from storage.reuse import recall_verdicts
from storage.schema.work import KeptBlobs
from storage.seals import seal_ended_jobs
from storage.submission import submit_job
from storage.unclaimed_chunks import (
    find_waiting_chunk,
    is_ahead,
    leave_held_chunk,
    list_dispatched_chunks,
    postpone_chunk,
)
from storage.verdict_search import VerdictFilter
from storage.verdicts import list_between, list_landed
from storage.verification import list_sealed_jobs, verify_job
from storage.waiting import WaitingLimits, find_room
from storage.webhooks import claim_webhook, get_webhook, list_webhooks, redeliver
from storage.workers import list_live_workers
from tests.kit.databases import copy_database
from tests.kit.filled_database import JOBS, SUBMITTER, Filled
from tests.kit.query_plans import explain_queries, take_back
from tests.kit.rows import LEASE_S

# Half of the jobs, of which there is one a minute, keep only evidence; the retention of a few more has ended.
RETENTION = timedelta(minutes=JOBS // 2 - 10)
# Tables that grow with the number of scanned images; the other ones stay small.
LARGE = frozenset({
    "jobs", "chunks", "verdicts", "provenance", "seals", "seal_pieces", "webhooks", "api_keys", "blobs", "job_blobs",
    "operations", "canary_rounds",
})  # fmt: skip
KEY = f"starlight_{7:012}_secret"
# Leases may have run out, however short the time since PostgreSQL's start is.
NO_LEASE = 0.0
AGAIN = JobOptions(idempotency_key="key 20")

COMPARED = """
    SELECT agrees, count(*) FROM model_comparison
    WHERE scanned_at >= :time AND scanned_at < :time + interval '1 day' GROUP BY agrees
"""

# Functions that query, and indexes that their plans must use.
QUERIES: dict[str, tuple[Callable[[Filled], object], set[str]]] = {
    "pick": (
        lambda filled: pick_chunks(filled.engine, Priority.BULK, 16),
        {"ix_jobs_open", "ix_chunks_pending", "ix_chunks_in_flight", "pk_chunks"},
    ),
    "find waiting": (
        lambda filled: find_waiting_chunk(filled.engine, filled.waiting_chunk, "cpu0@here"),
        {"pk_chunks"},
    ),
    "ahead": (lambda filled: is_ahead(filled.engine, SUBMITTER, Priority.BULK), {"ix_chunks_in_flight"}),
    "dispatched": (lambda filled: list_dispatched_chunks(filled.engine, Priority.BULK), {"ix_chunks_in_flight"}),
    "postpone": (lambda filled: postpone_chunk(filled.engine, filled.waiting_chunk, 1.0), {"pk_chunks"}),
    "claim": (
        lambda filled: claim_chunk(filled.engine, filled.waiting_chunk, "cpu0", LEASE_S),
        {"pk_chunks", "pk_jobs", "pk_verdicts"},
    ),
    "renew": (lambda filled: renew_leases(filled.engine, [filled.claim], LEASE_S), {"pk_chunks"}),
    "finish": (lambda filled: filled.finish(), {"pk_chunks", "pk_jobs"}),
    "lose": (lambda filled: lose_chunk(filled.engine, filled.claim), {"pk_chunks"}),
    "release": (lambda filled: release_chunks(filled.engine, [filled.claim]), {"pk_chunks"}),
    "recover": (
        lambda filled: recover_lost_chunk(filled.engine, 3, NO_LEASE),
        {"ix_chunks_in_flight", "pk_chunks", "pk_verdicts"},
    ),
    "take along": (
        lambda filled: take_lone_chunks(filled.engine, filled.waiting_chunk, "cpu0@here 1", LEASE_S),
        {"ix_chunks_pending", "ix_chunks_in_flight", "ix_jobs_open", "pk_chunks", "pk_jobs"},
    ),
    "waiting priorities": (lambda filled: list_waiting_priorities(filled.engine), {"ix_chunks_pending"}),
    "redate": (lambda filled: redate_unclaimed(filled.engine, 0), {"ix_chunks_in_flight"}),
    "in flight": (lambda filled: count_expected_messages(filled.engine), {"ix_chunks_in_flight"}),
    "landed": (lambda filled: list_landed(filled.engine, filled.ended_job), {"ix_verdicts_landed", "pk_jobs"}),
    "between": (lambda filled: list_between(filled.engine, filled.ended_job, 5, 8), {"pk_verdicts", "pk_jobs"}),
    "verdicts of a job": (lambda filled: filled.find(job_id=filled.ended_job), {"pk_verdicts"}),
    "provenance": (
        lambda filled: find_provenance(filled.engine, filled.ended_job, 5),
        {"pk_verdicts", "pk_jobs", "pk_provenance", "uq_chunks_job_id_first_ordinal"},
    ),
    "newest verdicts": (lambda filled: filled.find(), {"ix_verdicts_scanned_at", "pk_jobs"}),
    "second page": (lambda filled: filled.find(filled.position), {"ix_verdicts_scanned_at", "pk_jobs"}),
    "previous page": (lambda filled: filled.look_back(), {"ix_verdicts_scanned_at", "pk_jobs"}),
    "previous page of a job": (lambda filled: filled.look_back(job_id=filled.ended_job), {"pk_verdicts"}),
    "newer jobs": (lambda filled: list_jobs(filled.engine, after=filled.ended_job), {"pk_jobs"}),
    "verdicts since": (
        lambda filled: filled.find(since=filled.position.scanned_at),
        {"ix_verdicts_scanned_at", "pk_jobs"},
    ),
    "verdicts by bytes": (lambda filled: filled.find(sha256=filled.digest.hex()), {"ix_verdicts_bytes"}),
    "verdicts by submitter": (lambda filled: filled.find(submitter=SUBMITTER), {"ix_verdicts_scanned_at", "pk_jobs"}),
    # One image in twenty is stego, so reading the newest verdicts finds a page of them soonest.
    "newest stego": (lambda filled: filled.find(outcome=Outcome.STEGO), {"ix_verdicts_scanned_at", "pk_jobs"}),
    "second page of stego": (
        lambda filled: filled.find(filled.position, outcome=Outcome.STEGO),
        {"ix_verdicts_scanned_at", "pk_jobs"},
    ),
    "rare method": (lambda filled: filled.find(method=Method.EXIF), {"ix_verdicts_found", "pk_jobs"}),
    "words of messages": (lambda filled: filled.find(words="rare"), {"ix_verdicts_words", "pk_jobs"}),
    "a part of messages": (lambda filled: filled.show(part="requ"), {"ix_verdicts_messages", "pk_jobs"}),
    "verdicts by a frequent probability": (
        lambda filled: filled.find(min_probability=0.85),
        {"ix_verdicts_probable", "ix_verdicts_scanned_at", "pk_jobs"},
    ),
    "verdicts by a rare probability": (
        lambda filled: filled.find(min_probability=0.5, max_probability=0.6),
        {"ix_verdicts_probable", "pk_jobs"},
    ),
    "verdicts by error": (
        lambda filled: filled.show(outcome=Outcome.ERROR, error_codes=[ErrorCode.UNAVAILABLE]),
        {"ix_verdicts_errors", "pk_jobs"},
    ),
    "verdict of an inscription": (
        lambda filled: filled.find(inscription=f"{'0' * 64}:i0"),
        {"ix_verdicts_inscription"},
    ),
    "verdicts of a transaction": (lambda filled: filled.find(inscription="0" * 64), {"ix_verdicts_inscription"}),
    "recall": (
        lambda filled: recall_verdicts(
            filled.engine,
            filled.model_id,
            [filled.digest] * 64,
            None,
            SUBMITTER,
            max_message_bytes=10,
            within=timedelta(days=9),
        ),
        {"ix_verdicts_bytes"},
    ),
    "failures": (lambda filled: count_failures(filled.engine, VerdictFilter()), {"ix_verdicts_found"}),
    "figures": (
        lambda filled: take_figures(filled.engine),
        {
            "ix_chunks_pending",
            "ix_chunks_in_flight",
            "pk_verdicts",
            "ix_jobs_open",
            "ix_jobs_unaccounted",
            "ix_webhooks_open",
            "pk_jobs",
        },
    ),
    "submit again": (
        lambda filled: submit_job(filled.engine, [], AGAIN, submitter="submitter 1"),
        {"uq_jobs_submitter_idempotency_key"},
    ),
    # One image in twenty has this error, too.
    "recent failures": (lambda filled: list_recent_failures(filled.engine, 1000), {"ix_verdicts_scanned_at"}),
    "drift": (lambda filled: sample_probabilities(filled.engine), {"ix_verdicts_scanned_at"}),
    "retry": (lambda filled: retry_job(filled.engine, filled.ended_job), {"pk_jobs"}),
    "rescans": (lambda filled: list_rescans(filled.engine, filled.ended_job), {"ix_jobs_rescan_of"}),
    "rescan": (
        lambda filled: next(
            Rescanning(filled.engine, [filled.model_id], VerdictFilter(outcome=Outcome.STEGO)).submit_all()
        ),
        {"pk_jobs", "ix_verdicts_landed"},
    ),
    "rescan again": (
        lambda filled: filled.find_made(),
        {"pk_jobs", "uq_jobs_submitter_idempotency_key"},
    ),
    "compare": (
        lambda filled: compare_models(
            filled.engine, [filled.model_id], [filled.model_id], since=datetime.now(UTC) - timedelta(hours=1)
        ),
        {"ix_verdicts_scanned_at", "pk_verdicts"},
    ),
    "retries": (lambda filled: list_retries(filled.engine, filled.ended_job), {"ix_jobs_retry_of"}),
    "cancel": (
        lambda filled: cancel_job(filled.engine, filled.open_job),
        {"uq_chunks_job_id_first_ordinal", "pk_jobs"},
    ),
    "audit": (
        lambda filled: list(audit_jobs(filled.engine, [filled.ended_job])),
        {"uq_chunks_job_id_first_ordinal", "pk_verdicts", "pk_jobs"},
    ),
    "seal": (
        lambda filled: seal_ended_jobs(filled.engine),
        {"ix_jobs_unsealed", "pk_jobs", "pk_verdicts", "pk_provenance", "pk_seal_pieces"},
    ),
    "verify": (
        lambda filled: verify_job(filled.engine, filled.ended_job),
        {"pk_jobs", "pk_seals", "pk_seal_pieces", "pk_verdicts", "pk_provenance"},
    ),
    "sealed jobs": (lambda filled: next(list_sealed_jobs(filled.engine)), {"pk_jobs"}),
    "job": (lambda filled: get_job(filled.engine, filled.ended_job), {"pk_jobs"}),
    "progress": (lambda filled: count_finished(filled.engine, [filled.ended_job]), {"pk_jobs"}),
    "newest jobs": (lambda filled: list_jobs(filled.engine), {"pk_jobs"}),
    "jobs of a submitter": (lambda filled: list_jobs(filled.engine, submitter=SUBMITTER), {"pk_jobs"}),
    "open jobs": (lambda filled: list_jobs(filled.engine, only_open=True), {"ix_jobs_open"}),
    # The indexes that detect conflicts do not appear in plans.
    "keep a blob": (lambda filled: filled.upload(b"image"), set()),
    "end retention": (
        lambda filled: end_retention(filled.engine, KeptBlobs.ALL, KeptBlobs.EVIDENCE, RETENTION),
        {"ix_jobs_kept_blobs", "pk_jobs", "pk_job_blobs", "pk_blobs", "ix_verdicts_bytes"},
    ),
    "expired uploads": (lambda filled: end_expired_uploads(filled.engine), {"pk_job_blobs", "pk_blobs"}),
    "delete blobs": (
        lambda filled: list(islice(delete_released_blobs(filled.engine, filled.blobs), 1)),
        {"ix_blobs_released_at", "pk_blobs", "ix_job_blobs_sha256"},
    ),
    "quota": (lambda filled: find_room(filled.engine, SUBMITTER, WaitingLimits(1, 1)), {"ix_jobs_open"}),
    "claim a webhook": (
        lambda filled: claim_webhook(filled.engine, 60),
        {"ix_webhooks_open", "pk_jobs", "pk_webhooks"},
    ),
    "webhook": (lambda filled: get_webhook(filled.engine, filled.ended_job), {"pk_webhooks"}),
    "webhooks": (lambda filled: list_webhooks(filled.engine, 30), {"pk_webhooks", "ix_webhooks_open", "pk_jobs"}),
    "redeliver": (lambda filled: redeliver(filled.engine, filled.ended_job, "olga"), {"pk_webhooks"}),
    "key": (lambda filled: find_key(filled.engine, KEY), {"pk_api_keys"}),
    "revoke": (lambda filled: revoke_key(filled.engine, SUBMITTER), {"uq_api_keys_name"}),
    "pause": (
        lambda filled: pause_chunks(filled.engine, PauseSubject(job_id=filled.open_job), "olga"),
        {"ix_chunks_in_flight", "pk_jobs"},
    ),
    "pauses": (lambda filled: list_pauses(filled.engine), {"pk_jobs"}),
    "leave": (lambda filled: leave_held_chunk(filled.engine, filled.waiting_chunk, "cpu0"), {"pk_chunks"}),
    "requeue": (lambda filled: requeue_chunks(filled.engine, RequeueRequest(), "olga"), {"ix_chunks_in_flight"}),
    "requeue a job": (
        lambda filled: requeue_chunks(filled.engine, RequeueRequest(job_id=filled.open_job), "olga"),
        set(),
    ),
    "requeue a worker": (
        lambda filled: requeue_chunks(filled.engine, RequeueRequest(worker="cpu0"), "olga"),
        {"ix_chunks_in_flight"},
    ),
    "priority": (
        lambda filled: change_priority(filled.engine, filled.open_job, Priority.INTERACTIVE, "olga"),
        {"uq_chunks_job_id_first_ordinal", "pk_jobs"},
    ),
    "operations": (lambda filled: list_operations(filled.engine, 20), {"pk_operations"}),
    "canaries": (lambda filled: read_canaries(filled.engine), {"pk_canary_rounds", "ix_canary_rounds_result"}),
    "answers of canaries": (lambda filled: count_answers(filled.engine), {"pk_canary_rounds"}),
    "abandoned canaries": (lambda filled: delete_abandoned_canaries(filled.engine), {"ix_jobs_canary"}),
    "begin a round of canaries": (
        lambda filled: begin_round(filled.engine, 1, 0.0),
        {"uq_canary_rounds_open", "pk_canary_rounds"},
    ),
    "end a round of canaries": (
        lambda filled: end_round(filled.engine, 1, filled.ended_job, []),
        {"uq_canary_rounds_open", "ix_canary_rounds_result", "pk_jobs", "pk_job_blobs", "pk_blobs"},
    ),
    "draining": (lambda filled: is_draining(filled.engine, "cpu0"), set()),
    "export": (
        lambda filled: next(list_oldest_first(filled.engine, VerdictFilter(), filled.position)),
        {"ix_verdicts_scanned_at", "pk_jobs"},
    ),
    "view of verdicts by bytes": (
        lambda filled: filled.ask("SELECT * FROM verdict WHERE sha256 = :sha256", sha256=filled.digest),
        {"ix_verdicts_bytes", "pk_jobs"},
    ),
    "view of an inscription": (
        lambda filled: filled.ask("SELECT * FROM verdict WHERE inscription = :name", name=f"{'0' * 64}:i0"),
        {"ix_verdicts_inscription", "pk_jobs"},
    ),
    "view of a part of the name of an inscription": (
        lambda filled: filled.ask("SELECT * FROM verdict WHERE inscription LIKE 'c748a10a%'"),
        {"ix_verdicts_inscription", "pk_jobs"},
    ),
    "view of verdicts of a job": (
        lambda filled: filled.ask(
            "SELECT * FROM verdict WHERE job_id = :id ORDER BY ordinal LIMIT 9", id=filled.ended_job
        ),
        {"pk_verdicts", "pk_jobs"},
    ),
    "view of newest stego verdicts": (
        lambda filled: filled.ask(
            "SELECT * FROM verdict WHERE outcome = 'stego' AND scanned_at < :time ORDER BY scanned_at DESC LIMIT 100",
            time=filled.position.scanned_at,
        ),
        {"ix_verdicts_scanned_at", "pk_jobs"},
    ),
    "view of newest jobs": (
        lambda filled: filled.ask("SELECT * FROM job_summary ORDER BY job_id DESC LIMIT 100"),
        {"pk_jobs"},
    ),
    "view of a day": (
        lambda filled: filled.ask("SELECT * FROM daily_verdicts WHERE day = :day", day=filled.position.scanned_at),
        {"ix_verdicts_scanned_at"},
    ),
    "view of an image": (
        lambda filled: filled.ask("SELECT * FROM image_history WHERE sha256 = :sha256", sha256=filled.digest),
        {"ix_verdicts_bytes", "pk_jobs"},
    ),
    "view of methods of a day": (
        lambda filled: filled.ask("SELECT * FROM method_by_submitter WHERE day = :day", day=filled.position.scanned_at),
        {"pk_jobs"},
    ),
    "view of models on an image": (
        lambda filled: filled.ask("SELECT * FROM model_comparison WHERE sha256 = :sha256", sha256=filled.digest),
        {"ix_verdicts_bytes"},
    ),
    "view of models in a job": (
        lambda filled: filled.ask("SELECT * FROM model_comparison WHERE job_id = :id", id=filled.ended_job),
        {"ix_verdicts_bytes"},
    ),
    "view of models of a day": (
        lambda filled: filled.ask(COMPARED, time=filled.position.scanned_at),
        {"ix_verdicts_scanned_at", "ix_verdicts_bytes"},
    ),
    # Its tables are small, because ended workers are deleted.
    "live workers": (lambda filled: list_live_workers(filled.engine, LEASE_S), set()),
}


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
